"""What a value of each field may be: one table of rules, for every source and for the check."""
