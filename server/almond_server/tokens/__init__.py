"""The use cases, one file an RPC or a rule. Knows the domain and the core; no gRPC, no adapters."""
