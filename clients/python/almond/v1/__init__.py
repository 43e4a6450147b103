"""Code generated from `protos/almond/v1`."""
