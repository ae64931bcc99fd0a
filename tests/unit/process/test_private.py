"""What is cx's own is its user's alone, also after an upgrade from a cx that made it otherwise."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cx.core.errors import Terminal
from cx.process.private import private

FOLDERS = (
    "git/app.git/objects/ab",
    "git/app.git/refs/cx",
    "git/whole.git",
    "checkouts/pr-1/tree/sub",
    "locks",
    "secrets",
)
FILES = {
    "git/app.git/objects/ab/cdef": 0o444, "git/app.git/HEAD": 0o644, "git/app.git/refs/cx/pr-1": 0o664,
    "git/whole.git/HEAD": 0o600, "checkouts/pr-1/tree/run": 0o755, "checkouts/pr-1/tree/sub/a": 0o644,
    "checkouts/pr-1/index": 0o644, "locks/pr-1.lock": 0o600, "secrets/postgres": 0o600,
    "cx.db": 0o644, "cx.db-wal": 0o644, "cx.db-shm": 0o666,
}  # fmt: skip
REPOSITORY = "checkouts/pr-1/tree"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """As an older cx has left it: each folder is 0755."""
    folder = tmp_path / "state"
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    for name, mode in FILES.items():
        (folder / name).touch()
        (folder / name).chmod(mode)
    for one in (folder, *folder.rglob("*")):
        if one.is_dir():
            one.chmod(0o755)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def opened(folder: Path) -> list[str]:
    """What others could open, if they came so far."""
    return sorted(
        str(one.relative_to(folder))
        for one in (folder, *folder.rglob("*"))
        if mode(one) & 0o077 and not one.is_symlink()
    )


def test_what_an_older_cx_has_left_open_is_closed(state: Path) -> None:
    assert private(state) == state
    assert mode(state) == mode(state / "checkouts" / "pr-1") == 0o700
    within = ["", "/run", "/sub", "/sub/a"]
    assert opened(state) == [*(REPOSITORY + one for one in within)]
    assert mode(state / REPOSITORY / "run") == 0o755  # as the repository has it: images have it from here
    assert mode(state / "git" / "app.git" / "objects" / "ab" / "cdef") == 0o400
    assert mode(state / "cx.db") == 0o600


def test_a_walk_that_was_cut_is_done_again(state: Path) -> None:
    """The file by which a mirror is known to be open is closed last."""
    private(state)
    (state / "git" / "app.git" / "HEAD").chmod(0o644)
    (state / "git" / "app.git" / "refs").chmod(0o755)
    private(state)
    assert [one for one in opened(state) if not one.startswith(REPOSITORY)] == []


def test_a_new_one_is_closed(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert mode(private(tmp_path / "a" / "state")) == 0o700
    finally:
        os.umask(before)


def test_what_is_not_cx_s_is_left_alone(state: Path, tmp_path: Path) -> None:
    """Where somebody has named a folder for its state that is of use to others, too."""
    (state / "theirs").touch(mode=0o644)
    outside = tmp_path / "outside"
    outside.touch(mode=0o644)
    (state / "locks" / "link").symlink_to(outside)
    private(state)
    assert mode(state) == 0o755
    assert mode(state / "theirs") == mode(outside) == 0o644
    assert {one.split("/")[0] for one in opened(state)} == {".", "theirs", "checkouts"}


def test_what_goes_meanwhile_is_in_nobodys_way(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chmod = Path.chmod

    def gone(path: Path, bits: int) -> None:
        if path.is_file():
            path.unlink()
        chmod(path, bits)

    monkeypatch.setattr(Path, "chmod", gone)
    private(state)


def test_one_that_cannot_be_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Terminal, match=r"file: .*; see to it, or set state_dir"):
        private(tmp_path / "file")
