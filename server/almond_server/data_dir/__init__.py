"""Files of the data directory: their paths, and how the secret ones are read and written."""
