"""Mirrors are kept small: what nobody wants any more goes, and git packs the rest. It may be ended at any moment, gives
way to whoever wants the mirror, and takes nothing that is younger than a day."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cx.core.errors import CxError
from cx.git.incoming import WANTED, alone, change, changing, refs_of, sweep, unlock
from cx.git.program import environment, git
from cx.git.running import Limits, Runner, size_of
from cx.pulls import Cancelled

PACKS, LOOSE = 20, 1000
URGENT = 5  # times so many packs: a repository that is never quiet. Who fetches waits, as long as one fetch may take
WAIT_S = 2.0
SOON_S, LATER_S = 600, 86_400
GRACE = "1.day.ago"
LEFT_S = 3600
TIDIED = "cx-tidied"


@dataclass(frozen=True)
class Tidied:
    """What was done to one mirror. `refs`: how many of pull requests went. `why` it was not packed, or ""."""

    mirror: str
    refs: int = 0
    packed: bool = False
    removed: bool = False
    freed_bytes: int = 0
    why: str = ""


def tidy(
    mirror: Path,
    known: Callable[[], Collection[int]] | None,
    *,
    until: float,
    cancelled: Callable[[], bool],
    soon_s: float = SOON_S,
    later_s: float = LATER_S,
) -> Tidied:
    """The mirror has no refs of pull requests but the `known` ones (None: all are), nothing of processes that died, and
    is packed when it is time. `until` is by the monotonic clock. Nothing happens while somebody uses the mirror."""
    with alone(mirror, wait_s=WAIT_S) as mine:
        if not mine:
            return Tidied(mirror.name, why="in use")
        (mirror / WANTED).unlink(missing_ok=True)
        limits = Limits(max(until - time.monotonic(), 0.1), 0, 0)
        urgent = _packs(mirror) >= URGENT * PACKS

        def ended() -> bool:
            return cancelled() or (not urgent and (mirror / WANTED).exists())

        run = Runner(mirror, mirror.name, limits, ended, limited=False)
        _clear(mirror)
        refs = _drop(run, mirror, known()) if known else 0
        if not _due(mirror, soon_s, later_s):
            return Tidied(mirror.name, refs)
        return _packed(run, mirror, refs)


def _clear(mirror: Path) -> None:
    """What processes that died have left: git's own locks are held for milliseconds."""
    sweep(mirror)
    for lock in (*(mirror / "refs").rglob("*.lock"), *mirror.glob("*.lock")):
        if not lock.name.startswith("cx-"):
            unlock(lock)
    old = time.time() - LEFT_S
    left = [*(mirror / "objects").glob("*/tmp_*"), *(mirror / "objects" / "pack").glob(".tmp-*")]
    left += [one for one in (mirror / "objects" / "pack").glob("*.pack") if not one.with_suffix(".idx").exists()]
    left += [one for one in (mirror / "incoming").glob("*") if one.is_dir()]  # nobody holds its lock
    for one in left:
        with suppress(FileNotFoundError):
            if one.stat().st_mtime < old:
                shutil.rmtree(one, ignore_errors=True) if one.is_dir() else one.unlink()


def _drop(run: Runner, mirror: Path, known: Collection[int]) -> int:
    """Refs of pull requests that are no longer known are gone; how many."""
    with changing(mirror):
        found = refs_of(run, mirror, lambda one: one not in known)
        if found:
            change(run, mirror, dict.fromkeys(found, ""))
    return len(found)


def _due(mirror: Path, soon_s: float, later_s: float) -> bool:
    """Soon when there are many pieces; later when anything has changed, or waits for its day to be over."""
    objects, stamp = mirror / "objects", mirror / TIDIED
    last = (stamp if stamp.exists() else mirror / "HEAD").stat().st_mtime
    packs = _packs(mirror)
    loose = sum(1 for _ in objects.glob("[0-9a-f][0-9a-f]/*"))
    if packs >= PACKS or loose >= LOOSE:
        return time.time() - last >= soon_s
    changed = [one.stat().st_mtime for one in (objects / "pack", *_folders(mirror / "refs"))]
    waiting = loose or any((objects / "pack").glob("*.mtimes"))
    return bool(waiting or max(changed) > last) and time.time() - last >= later_s and bool(packs or loose)


def _packs(mirror: Path) -> int:
    return sum(1 for _ in (mirror / "objects" / "pack").glob("*.pack"))


def _folders(folder: Path) -> list[Path]:
    return [folder, *(one for one in folder.rglob("*") if one.is_dir())]


def _packed(run: Runner, mirror: Path, refs: int) -> Tidied:
    before, began = size_of(mirror / "objects"), time.time()
    if shutil.disk_usage(mirror).free < before:
        return Tidied(mirror.name, refs, why="the disk has no room for packing it")
    stamp = mirror / TIDIED
    stamp.touch()
    (mirror / "cx-index").unlink(missing_ok=True)  # it may name objects that go now; it is made anew
    options = ["-c", "gc.packRefs=false", "-c", "gc.cruftPacks=true", "-c", "pack.threads=1"]
    options += ["-c", "core.bigFileThreshold=16m", "-c", "pack.windowMemory=100m"]
    argv = ["nice", *git(*options, "--git-dir", mirror, "gc", "--quiet", f"--prune={GRACE}")]
    try:
        run.run("git gc", argv, environment(), b"", None)
    except CxError as exc:
        _undo(mirror, began)
        if isinstance(exc, Cancelled):
            stamp.unlink(missing_ok=True)
        return Tidied(mirror.name, refs, why=exc.what)
    stamp.touch()
    return Tidied(mirror.name, refs, packed=True, freed_bytes=before - size_of(mirror / "objects"))


def _undo(mirror: Path, began: float) -> None:
    """What a packing that was ended has left."""
    pack = mirror / "objects" / "pack"
    for one in (*pack.glob("tmp_*"), *pack.glob(".tmp-*"), mirror / "gc.pid", mirror / "gc.pid.lock"):
        with suppress(FileNotFoundError):
            if one.stat().st_mtime >= began - 1:
                one.unlink()


def remove(mirror: Path, wanted: Callable[[], bool] = lambda: False) -> bool:
    """The mirror is gone, unless somebody uses it, or it is `wanted`, which is asked when nobody can begin to."""
    with alone(mirror) as mine:
        if not mine or wanted():
            return False
        gone = mirror.parent / f"gone-{secrets.token_hex(8)}"
        mirror.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    return True


def sweep_all(folder: Path) -> None:
    """What was being removed or made by processes that died is gone. `folder` holds all mirrors."""
    for one in (*folder.glob("gone-*"), *folder.glob("new-*")):
        with suppress(FileNotFoundError):
            if one.name.startswith("gone-") or time.time() - one.stat().st_mtime > LEFT_S:
                shutil.rmtree(one, ignore_errors=True)
