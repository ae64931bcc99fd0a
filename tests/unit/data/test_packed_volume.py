"""A folder on its way into a golden volume: a tar that is read while it is sent."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from cx.core.errors import Invalid
from cx.core.kinds import VOLUME
from cx.data.kinds.files import packed
from cx.data.workbench.values import FillFailed, Spec

SPEC = Spec("files", VOLUME, "volume", "debian:trixie-slim")


def test_it_is_a_tar_in_parts_of_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"a" * 2_500_000)
    (tmp_path / "empty").touch()
    (tmp_path / "again").hardlink_to(tmp_path / "sub" / "a")
    parts = list(packed(SPEC, tmp_path))
    assert max(map(len, parts)) <= 1 << 20  # of a large file never more is in memory
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as tar:
        names = {one.name: one for one in tar.getmembers()}
        assert set(names) == {f"golden/data{one}" for one in ("", "/sub", "/sub/a", "/empty", "/again")}
        assert names["golden/data"].isdir()
        file = tar.extractfile("golden/data/sub/a")
        assert file
        assert file.read() == b"a" * 2_500_000


def test_a_file_alone_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "app.sqlite").write_text("x")
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed(SPEC, tmp_path / "app.sqlite")))) as tar:
        assert tar.getnames() == ["golden/data/app.sqlite"]


def test_what_changes_meanwhile_is_not_taken_for_whole(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * 3_000_000)
    parts = packed(SPEC, tmp_path)
    for _ in range(3):  # the folder, the file's head, and its first part
        next(parts)
    file.write_bytes(b"")
    with pytest.raises(FillFailed, match="log"):
        list(parts)


def test_what_is_not_there_is_told_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        list(packed(SPEC, tmp_path / "gone"))
    assert caught.value.key == "databases.files.file"
