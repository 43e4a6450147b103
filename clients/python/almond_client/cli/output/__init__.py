"""What is printed: tables, JSON, and how commands fail."""
