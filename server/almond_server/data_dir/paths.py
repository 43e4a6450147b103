"""Where things are in the data directory."""

from __future__ import annotations

from pathlib import Path


def database(data_dir: Path) -> Path:
    """Return where the store is."""
    return data_dir / "almond.db"


def master_key(data_dir: Path) -> Path:
    """Return where the master key is."""
    return data_dir / "master.key"


def admin_token(data_dir: Path) -> Path:
    """Return where `almond init` writes the admin token."""
    return data_dir / "admin.token"
