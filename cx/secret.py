"""What this host keeps for itself: made when it is first needed, readable by its owner only."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cx.core.errors import Terminal


def kept(path: Path, make: Callable[[], str]) -> str:
    """The text in the file at `path`; made the first time. Of several who do so at once, all get the same.

    It is there as a whole or not at all, also after a loss of power. Raises Terminal.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make(path, make())
        return path.read_text()
    except OSError as exc:
        raise Terminal(f"{path}: {exc.strerror}", remedy="it is cx's own: see to its folder, and try again") from exc


def _make(path: Path, text: str) -> None:
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # for its owner only
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # somebody else was quicker
            os.link(fresh, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        Path(fresh).unlink()


def token() -> str:
    return secrets.token_urlsafe(32)
