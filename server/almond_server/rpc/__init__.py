"""gRPC at the edge: the only place of the server that knows `almond.v1` and status codes."""
