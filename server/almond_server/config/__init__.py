"""What the operator sets: settings, addresses, and where Redis is."""
