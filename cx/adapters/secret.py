"""What this host keeps for itself: made when it is first needed, readable by its owner only."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path


def kept(path: Path, make: Callable[[], str]) -> str:
    """The text in the file at `path`; made the first time, whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(path.name + ".new")
        fresh.touch(mode=0o600)
        fresh.write_text(make())
        fresh.replace(path)
    return path.read_text()


def token() -> str:
    return secrets.token_urlsafe(32)
