"""Adapters: each implements ports with one technology. Only `app` and the operator's commands import them."""
