"""Prints the results of commands (tables, JSON), and reports how they fail."""
