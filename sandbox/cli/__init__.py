"""The command line: one module a command; each imports its machinery only when it runs."""
