"""What the service says of itself: metrics, traces, logs and status.

This file imports nothing: the parent of workers reads `status` without loading what `metrics` needs.
"""
