"""Files as records: JSON lines, CSV and Parquet, optionally compressed, read in blocks and never whole, with the place of each record."""
