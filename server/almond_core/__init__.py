"""Almond's pure core: decodes, verifies, clears, mints and attenuates tokens. Bytes in, decisions out.

No await, no clock, no environment, no log, no socket: time and randomness are parameters.
"""
