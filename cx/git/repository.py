"""The repository that a deployed folder lies in. Whoever wrote it is hostile: git reads its refs and objects, and obeys
nothing of it, for it sees them through a git directory of cx's own, with cx's own configuration.

https://git-scm.com/docs/gitrepository-layout
"""

from __future__ import annotations

import os
import pwd
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cx.core.errors import Invalid, Terminal
from cx.core.names import shown

TEXT_MAX_BYTES = 64 << 10
HEADS = ("HEAD", "FETCH_HEAD", "ORIG_HEAD")
SHARED = ("objects", "refs", "packed-refs", "shallow", "reftable")
_SHA256 = re.compile(r"^\s*objectformat\s*=\s*sha256\s*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Repository:
    """`top` is its working tree; HEAD is in `folder`, refs and objects in `common`, which linked worktrees share."""

    top: Path
    folder: Path
    common: Path

    @contextmanager
    def view(self, beside: Path) -> Iterator[Path]:
        """A bare repository of cx's own with the same refs and objects, as long as the block runs."""
        with tempfile.TemporaryDirectory(prefix="new-", dir=beside) as folder:
            view = Path(folder)
            (view / "config").write_text(self._configuration())
            for name in HEADS:
                if text := _text(self.folder / name):
                    (view / name).write_text(text, errors="surrogateescape")
            for name in SHARED:
                if (self.common / name).exists():
                    (view / name).symlink_to(self.common / name)
            yield view

    def must_stand_alone(self) -> None:
        """Raises Terminal where it takes objects from elsewhere: its author could name what is the caller's alone."""
        objects = self.common / "objects"
        alternates = objects / "info" / "alternates"
        links = (
            [objects] if objects.is_symlink() else [one for folder in _with_folders(objects) for one in _links(folder)]
        )
        if links or _text(alternates):
            where = os.path.relpath(links[0] if links else alternates, self.top)
            raise Terminal(
                f"{self.top}: its repository takes objects from elsewhere ({shown(where)})",
                remedy="deploy it without --ref, or a clone of it: git clone --dissociate",
            )

    def _configuration(self) -> str:
        """How refs and objects are stored, which is all that is taken from its own: each is one of two words."""
        extensions = ["\trefstorage = reftable\n"] if (self.common / "reftable").is_dir() else []
        extensions += ["\tobjectformat = sha256\n"] if _SHA256.search(_text(self.common / "config")) else []
        version = 1 if extensions else 0
        return f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n[extensions]\n{''.join(extensions)}"


def repository_of(path: Path) -> Repository | None:
    """The repository of the folder at `path`, which is named by a `.git`; ordinary files that look like one are not it.

    Raises Invalid for what other users of this machine can write to.
    """
    ours(path)
    for top in (path, *path.parents):
        entry = top / ".git"
        if not os.path.lexists(entry):
            continue
        ours(entry)
        folder = entry if os.path.isdir(entry) else top / _text(entry).removeprefix("gitdir:").strip()
        common = folder / (_text(folder / "commondir").strip() or ".")
        if os.path.isfile(folder / "HEAD") and os.path.isdir(common / "objects"):
            for one in (top, folder, common, common / "objects"):
                ours(one)
            return Repository(top, folder, common)
    return None


def ours(path: Path) -> None:
    """It belongs to whoever calls cx, or to root. Raises Invalid: others could change it while it is read."""
    for uid in {os.lstat(path).st_uid, os.stat(path).st_uid if os.path.exists(path) else 0}:
        if uid not in callers():
            owner = _name(uid)
            raise Invalid(
                "PATH", shown(str(path)), f"belongs to {owner}",
                remedy=f"cx reads no other user's folder: run it as {owner}, or deploy a copy that is yours",
            )  # fmt: skip


def callers() -> set[int]:
    """Root, who may change everything, and whoever calls cx, also by sudo."""
    behind = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    return {0, os.geteuid()} | ({int(behind)} if behind.isdecimal() else set())


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _text(path: Path) -> str:
    """What a regular file begins with; "" for anything else, which is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):  # a NUL in its name
        return ""
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, TEXT_MAX_BYTES).decode(errors="surrogateescape") if regular else ""
    finally:
        os.close(descriptor)


def _with_folders(folder: Path) -> list[Path]:
    return [folder, *(Path(one.path) for one in os.scandir(folder) if one.is_dir(follow_symlinks=False))]


def _links(folder: Path) -> list[Path]:
    return [Path(one.path) for one in os.scandir(folder) if one.is_symlink()]
