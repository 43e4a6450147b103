"""Several worker processes on one port: their parent starts, watches, replaces and drains them."""
