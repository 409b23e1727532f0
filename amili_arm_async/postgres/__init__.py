"""A database of PostgreSQL that a run writes: one connection, fenced transactions that survive a lost connection, leases, the schema."""
