"""The use cases: mint, verify, revoke, look up. Knows ports and the core; must not know gRPC or adapters."""
