"""Folders of cx's own, which nobody but the user who runs it can look into."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cx.core.errors import Terminal

OTHERS = stat.S_IRWXG | stat.S_IRWXO
OWN = ("git", "checkouts", "locks", "secrets", "cx.db", "cx.db-wal", "cx.db-shm")


def private(folder: Path) -> Path:
    """The folder is there, for its user alone, and so is what cx keeps in it, also what an older cx has made there.

    A checkout is closed by the folder that it is in: its files have the modes that the repository gives them. A folder
    that holds anybody else's files stays as open as it is. Raises Terminal.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=stat.S_IRWXU)
        found = {one.name: Path(one.path) for one in os.scandir(folder)}
        if found.keys() <= set(OWN):
            close(folder)
        for path in _inside(found):
            close(path)
        for left in _children(found.get("checkouts")):
            for path in _children(left):
                if path.is_file():  # else it is a checkout
                    close(path)
        for mirror in _children(found.get("git")):
            if _is_open(mirror / "HEAD"):  # an older cx made it; closed last, that a walk which was cut is done again
                _close_all(mirror)
    except PermissionError as exc:
        raise Terminal(f"{folder}: {exc.strerror}", remedy="run as the user that owns it") from exc
    except OSError as exc:
        raise Terminal(f"{folder}: {exc.strerror}", remedy="see to it, or set state_dir") from exc
    return folder


def close(path: Path) -> None:
    """Nobody but its owner can read or write it; nothing happens to a link, or where it is gone."""
    if _is_open(path):
        with suppress(FileNotFoundError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)


def _is_open(path: Path) -> bool:
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        return bool(mode & OTHERS) and not stat.S_ISLNK(mode)
    return False


def _inside(found: dict[str, Path]) -> Iterator[Path]:
    """What cx keeps in a folder, and what is in that, no deeper."""
    for name in OWN:
        if name in found:
            yield found[name]
            yield from _children(found[name])


def _children(folder: Path | None) -> list[Path]:
    return [Path(one.path) for one in os.scandir(folder)] if folder and folder.is_dir() else []


def _close_all(mirror: Path) -> None:
    for inner, _, names in os.walk(mirror, topdown=False):
        for name in sorted(names, key=lambda one: one == "HEAD"):
            close(Path(inner) / name)
        close(Path(inner))
