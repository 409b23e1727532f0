"""What a person gets in the morning: the report as JSON, its failures as CSV, and one page of HTML to look at."""
