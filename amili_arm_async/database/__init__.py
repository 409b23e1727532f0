"""What files of SQLite and databases of PostgreSQL share: the thread that does all work, and addresses of databases."""
