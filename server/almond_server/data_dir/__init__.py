"""Files on disk: where they are in the data directory, and how secret ones are read and written."""
