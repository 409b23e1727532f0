"""A delta sync: sends only the customers that changed since they were last sent with success."""
