"""The command line: a module a subject."""
