"""Almond's server: the pure core behind gRPC, with a durable store and Redis."""
