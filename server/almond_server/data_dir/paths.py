"""Paths of files in the data directory."""

from __future__ import annotations

from pathlib import Path


def database(data_dir: Path) -> Path:
    """Return the path of the SQLite store."""
    return data_dir / "almond.db"


def master_key(data_dir: Path) -> Path:
    """Return the path of the master key."""
    return data_dir / "master.key"


def admin_token(data_dir: Path) -> Path:
    """Return the path to which `almond init` writes the admin token."""
    return data_dir / "admin.token"
