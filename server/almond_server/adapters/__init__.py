"""Adapters: technology + port. Only the composition root knows them."""
