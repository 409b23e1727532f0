"""`amili-arm probe`: what the real service answers, held against what this library assumes."""
