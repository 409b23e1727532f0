"""SQLite files that a run writes: created atomically, checked before use, written by one thread, locked by one process."""
