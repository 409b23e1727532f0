"""The life of a record in a bulk run: cut, sent, settled, reported."""
