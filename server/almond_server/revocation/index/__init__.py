"""The revocations in memory, looked up on every Verify: no await, no I/O, no clock of its own."""
