"""The night as a whole: a real process, faults and kills, and the accounts in the morning."""
