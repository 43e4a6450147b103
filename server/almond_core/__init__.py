"""Almond's pure core: bytes in, decisions out.

No await, no clock, no environment, no log, no socket: time and randomness come in as values.
"""
