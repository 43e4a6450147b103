"""The revocation feed in Redis or Valkey: implements `domain.feed.Feed`."""
