"""Code generated from `protos/almond`."""
