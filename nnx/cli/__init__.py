"""The command line: arguments in, printed lines out."""
