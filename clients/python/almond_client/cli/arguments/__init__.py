"""Reads what is typed on the command line: options, ids, durations and files."""
