"""One serving process: how it starts, listens, is probed, and drains."""
