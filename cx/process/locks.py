"""flock on files of cx's state folder: held by a process, and gone with it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cx.core.errors import Busy

POLL_S = 0.05


@contextmanager
def held(path: Path, why: str, *, wait_s: float = 0.0, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """The lock at `path` is this process's, its file says since when and why. Raises Busy after `wait_s`.

    The file goes with the lock: nothing is left of a name that is no longer used.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    until = time.monotonic() + wait_s
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = _holder(descriptor)
            os.close(descriptor)
            if time.monotonic() >= until:
                raise Busy(f"{path.stem}: {holder}", remedy="wait for it, then try again") from exc
            if waiting and not told:
                waiting(holder)
                told = True
            time.sleep(POLL_S)
            continue
        if _is(descriptor, path):
            break
        os.close(descriptor)  # somebody removed the file between our open and our lock
    try:
        os.truncate(descriptor, 0)
        since = datetime.now(UTC).strftime("%H:%M:%S UTC")
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "why": why, "since": since}).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Somebody holds it. Only what a process left that died is touched, for an instant."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is(descriptor: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def _holder(descriptor: int) -> str:
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
        return f"held by process {said['pid']} ({said['why']}) since {said['since']}"
    except (ValueError, KeyError, TypeError):
        return "held by another process"
