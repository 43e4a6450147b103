"""Hypothesis without deadlines: the machines that run this are shared."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("almond", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("almond")
