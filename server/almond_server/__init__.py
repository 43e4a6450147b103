"""Almond's server: the pure core behind gRPC, a durable store and a cache."""
