"""`amili-arm probe`: compares the answers of a real service with what this library assumes."""
