"""A night: customers first, then their documents, and one report over all."""
