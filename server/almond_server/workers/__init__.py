"""Several serving processes on one port: what their parent decides, and how it speaks with them."""
