"""One serving process: it starts, listens, answers probes, serves, and drains."""
