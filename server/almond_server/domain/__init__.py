"""Values and ports: what the service keeps, and what every adapter owes it."""
