"""Values and ports: what the service stores, and what every adapter owes it."""
