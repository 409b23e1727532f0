"""The operations, one module per section of the API pages; each method is a few lines over `RequestContext`."""
