"""Reports of a server about itself: metrics, traces, logs and status.

This file imports nothing: the parent of workers imports `status` without gRPC, which `metrics` needs.
"""
