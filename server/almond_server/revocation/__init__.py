"""How a server learns what is revoked, and how fresh that is. Knows ports; no gRPC, no adapters."""
