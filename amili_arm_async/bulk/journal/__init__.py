"""The journal: one SQLite file that knows of every record of a run what became of it, whatever ends the process.

Only what needs a journal imports these modules: importing the package does not load SQLite.
"""
