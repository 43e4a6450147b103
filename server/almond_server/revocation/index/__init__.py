"""The in-memory index of revocations, which every Verify reads. No await, no I/O, no clock of its own."""
