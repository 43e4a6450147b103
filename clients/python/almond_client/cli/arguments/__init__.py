"""What is typed: how the command line reads options, ids, durations and files."""
