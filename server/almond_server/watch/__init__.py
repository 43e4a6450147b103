"""WatchRevocations: what each watcher is sent, and when. Knows nothing of gRPC."""
