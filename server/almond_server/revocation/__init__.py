"""How a server learns what is revoked, and how fresh that knowledge is. Knows ports; no gRPC, no adapters."""
