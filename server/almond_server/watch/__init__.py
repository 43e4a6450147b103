"""WatchRevocations: what each watching client is told, and when. Knows nothing of gRPC."""
