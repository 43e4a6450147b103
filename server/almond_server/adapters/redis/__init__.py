"""The revocation feed in Redis or Valkey."""
