"""What comes from outside is put beside the mirror first, and moves into it when it is whole and sound: several may
come side by side, and nothing stays of one that was ended."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cx.core.errors import Busy
from cx.git.running import POLL_S, Limits, Runner
from cx.git.sources import Sources
from cx.process.locks import held
from cx.pulls import Cancelled

STALE_S = 60
EMPTY_PACK_BYTES = 32
WANTED = "cx-wanted"
REFS, SHALLOW = "known-refs", "known-shallow"
PULL = re.compile(r"refs/cx/(?:(?:pulls|whole|lfs)/|modules/[0-9a-f]+/)([0-9]+)(?:-[0-9]+)?")


@dataclass(frozen=True)
class Incoming:
    """A bare repository beside the mirror, which sees the mirror's objects: `folder`."""

    mirror: Path
    folder: Path

    def settle(self, run: Runner, refs: Mapping[str, str], number: int = 0) -> None:
        """All of it is in the mirror, and the refs name it; other refs of the pull request `number` are gone."""
        with changing(self.mirror):
            self._move()
            self._mark_shallow()
            before = dict.fromkeys(refs_of(run, self.mirror, lambda one: one == number), "")
            change(run, self.mirror, before | dict(refs))

    def _move(self) -> None:
        """An index comes after its pack: git finds a pack by it."""
        objects = self.folder / "objects"
        found = [one for one in objects.rglob("*") if one.is_file() and one.parent.name != "info"]
        empty = {one.stem for one in found if one.suffix == ".pack" and one.stat().st_size == EMPTY_PACK_BYTES}
        for one in sorted(found, key=lambda one: (one.suffix == ".idx", one.suffix == ".rev")):
            there = self.mirror / "objects" / one.relative_to(objects)
            if one.stem in empty or one.name.startswith("tmp_"):
                continue
            there.parent.mkdir(exist_ok=True)
            one.replace(there)

    def _mark_shallow(self) -> None:
        lines = _lines(self.mirror / "shallow") | _lines(self.folder / "shallow") | _lines(self.folder / SHALLOW)
        if lines:
            new = self.folder / "shallow.new"
            new.write_text("".join(f"{line}\n" for line in sorted(lines)))
            new.replace(self.mirror / "shallow")


def _lines(file: Path) -> set[str]:
    return set(file.read_text().split()) if file.exists() else set()


def show(folder: Path, known: str) -> None:
    """git, and so the server that it speaks to next, sees the mirror's refs below `known`, and of others nothing."""
    (folder / "refs" / "cx" / "new").unlink(missing_ok=True)
    refs = [line for line in (folder / REFS).read_text().splitlines() if line[41:].startswith(f"{known}/")]
    (folder / "packed-refs").write_text("".join(f"{line}\n" for line in refs))
    shallow = _lines(folder / "shallow") | _lines(folder / SHALLOW)
    (folder / SHALLOW).write_text("".join(f"{line}\n" for line in sorted(shallow)))
    (folder / "shallow").unlink(missing_ok=True)
    if seen := shallow & {line[:40] for line in refs}:
        (folder / "shallow").write_text("".join(f"{line}\n" for line in sorted(seen)))


@contextmanager
def incoming(mirror: Path, limits: Limits) -> Iterator[Incoming]:
    """A place for what comes; it is gone afterwards. The caller uses the mirror (`using`).

    What the mirror has at this moment is written down: what others add meanwhile it sees nothing of (`show`).
    """
    place = mirror / "incoming"
    sweep(mirror)
    folder = place / secrets.token_hex(8)
    with held(folder.with_suffix(".lock"), "fetch"):
        try:
            (folder / "objects" / "info").mkdir(parents=True)
            (folder / "objects" / "pack").mkdir()
            (folder / "refs").mkdir()
            (folder / "HEAD").write_text("ref: refs/heads/none\n")
            (folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
            (folder / "objects" / "info" / "alternates").write_text(f"{mirror / 'objects'}\n")
            with changing(mirror):
                with suppress(FileNotFoundError):
                    shutil.copyfile(mirror / "shallow", folder / SHALLOW)
                there = Runner(mirror, mirror.stem, limits, limited=False)
                refs = there("for-each-ref", "--format=%(objectname) %(refname)", "refs/cx/")
            (folder / REFS).write_text(refs)
            yield Incoming(mirror, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(mirror: Path) -> None:
    """What processes that died have left is gone."""
    for lock in (mirror / "incoming").glob("*.lock"):
        with suppress(Busy), held(lock, "clean up"):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)


@contextmanager
def changing(mirror: Path) -> Iterator[None]:
    """Refs of pull requests are changed by one at a time; for milliseconds."""
    with held(mirror / "cx-changing.lock", "change refs", wait_s=STALE_S):
        yield


def change(run: Runner, mirror: Path, refs: Mapping[str, str]) -> None:
    """The refs are what is said, and those with "" are gone. Within `changing`: their locks are of who died."""
    for name in refs:
        (mirror / f"{name}.lock").unlink(missing_ok=True)
    unlock(mirror / "packed-refs.lock")
    lines = [f"update {name}\0{value}\0\0" if value else f"delete {name}\0\0" for name, value in sorted(refs.items())]
    there = Runner(mirror, run.what, run.limits, limited=False)
    there("update-ref", "-z", "--stdin", stdin="".join(lines).encode())


def refs_of(run: Runner, mirror: Path, mine: Callable[[int], bool]) -> list[str]:
    """The refs of pull requests that are `mine`, by their numbers."""
    there = Runner(mirror, run.what, run.limits, run.cancelled, limited=False)
    found = there("for-each-ref", "--format=%(refname)", "refs/cx/").split()
    return [name for name in found if (pull := PULL.fullmatch(name)) and mine(int(pull[1]))]


def unlock(path: Path) -> None:
    """git holds such locks for milliseconds: an old one is of a process that died."""
    with suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime > STALE_S:
            path.unlink(missing_ok=True)


# --- who uses the mirror


@contextmanager
def using(sources: Sources, project: str, cancelled: Callable[[], bool]) -> Iterator[Path]:
    """The project's mirror, which nobody cleans up meanwhile; many may use it at once. Raises Cancelled."""
    while True:
        mirror = sources.mirror(project)
        descriptor = _opened(mirror)
        if descriptor is None:
            continue
        try:
            while not _locked(descriptor, fcntl.LOCK_SH):
                want(mirror)
                if cancelled():
                    raise Cancelled(f"{mirror.stem}: not wanted any more")
                time.sleep(POLL_S)
            if _same(descriptor, mirror):
                yield mirror
                return
        finally:
            os.close(descriptor)


def want(mirror: Path) -> None:
    """Whoever cleans up the mirror gives way."""
    with suppress(FileNotFoundError):
        (mirror / WANTED).touch()


@contextmanager
def alone(mirror: Path, wait_s: float = 0.0) -> Iterator[bool]:
    """Whether nobody else uses the mirror, or begins to as long as the block runs. It holds nobody up while it waits
    for that."""
    descriptor = _opened(mirror)
    if descriptor is None:
        yield False
        return
    until = time.monotonic() + wait_s
    try:
        while not (mine := _locked(descriptor, fcntl.LOCK_EX)) and time.monotonic() < until:
            time.sleep(POLL_S)
        yield mine and _same(descriptor, mirror)
    finally:
        os.close(descriptor)


def _opened(mirror: Path) -> int | None:
    try:
        return os.open(mirror / "cx-using", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _same(descriptor: int, mirror: Path) -> bool:
    """False when the mirror was removed, or made anew, since it was opened."""
    try:
        there = os.stat(mirror / "cx-using")
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino) and (mirror / "HEAD").is_file()
