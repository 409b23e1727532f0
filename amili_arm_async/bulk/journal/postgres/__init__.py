"""A journal in PostgreSQL: what differs from one in SQLite. The statements and rules are those of `journal.sqlite`."""
