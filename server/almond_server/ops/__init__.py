"""What an operator runs: the `almond` commands of the server, and what they do to a data directory."""
