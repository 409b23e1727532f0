"""Inert Structs, one module per section of the API pages; they hold data and do nothing."""
