"""The replay of a dead letter file: which of its records are sent again, looked up or left, and what the file holds afterwards."""
