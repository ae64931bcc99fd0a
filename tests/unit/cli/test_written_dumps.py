"""A dump is in its file once it is whole, and for its owner only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cx.cli.clones import _written
from cx.core.errors import Invalid, Terminal


def test_it_takes_the_files_place(tmp_path: Path) -> None:
    file = tmp_path / "x.dump"
    file.write_text("an older one")
    file.chmod(0o644)
    with _written(file) as write:
        write(b"new")
        assert file.read_text() == "an older one"
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_one_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Terminal, match="gone"), _written(tmp_path / "x.dump"):
        raise Terminal("the server is gone")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No such file"), _written(tmp_path / "no" / "x.dump"):
        pass


def test_a_full_disk_is_one_line() -> None:
    with pytest.raises(Terminal, match="No space left"), _written(Path("/dev/full")) as write:
        write(b"x")


def test_nobody_reads(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def cut() -> None:
        with _written(pipe) as write:
            os.close(reader)
            write(b"x" * 100_000)

    with pytest.raises(Terminal, match="nobody reads"):
        cut()
