"""Files as records: JSON lines, CSV and Parquet, packed or not, read in blocks and never whole, each record's place known."""
