"""SQLite files that a run writes: made with care, opened with suspicion, written by one thread, locked by one process."""
