"""Which copy is chosen: in the order that was measured with PostgreSQL 18 on two cores (docs/data.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from cx.data.shared.strategy import FILE_COPY, REFLINK, WAL_LOG, chosen, room_needed
from cx.data.shared.volume import Volume
from cx.host.assembly import Adapters
from cx.settings import load

EXT4 = Volume("ext2/ext3", False, 1 << 40)
XFS = Volume("xfs", True, 1 << 40)
BTRFS = Volume("btrfs", True, 1 << 40)
MB, GB = 10**6, 10**9


@pytest.mark.parametrize(
    ("size_bytes", "files", "volume", "version", "expected"),
    [
        pytest.param(8 * MB, 300, EXT4, 180000, WAL_LOG, id="an empty database: by its few pages"),
        pytest.param(1 * GB, 350, EXT4, 180000, FILE_COPY, id="1 GB, ext4: 0.51 against 1.4 s"),
        pytest.param(8 * GB, 400, EXT4, 180000, FILE_COPY, id="8 GB, ext4: 6.5 against 25 s"),
        pytest.param(103 * MB, 4805, EXT4, 180000, WAL_LOG, id="500 tables, ext4: the count of files rules"),
        pytest.param(8 * MB, 300, XFS, 180000, REFLINK, id="an empty database, XFS: shares its blocks"),
        pytest.param(1 * GB, 350, XFS, 180000, REFLINK, id="1 GB, XFS: 0.07 s"),
        pytest.param(8 * GB, 400, XFS, 180000, REFLINK, id="8 GB, XFS: 0.25 s"),
        pytest.param(8 * GB, 400, BTRFS, 190000, REFLINK, id="btrfs, a later server"),
        pytest.param(103 * MB, 4805, XFS, 180000, WAL_LOG, id="500 tables, XFS: 0.29 against 0.69 s"),
        pytest.param(8 * GB, 4805, XFS, 180000, REFLINK, id="500 large tables, XFS: the bytes rule again"),
        pytest.param(8 * GB, 400, XFS, 170006, FILE_COPY, id="17 on XFS: it has no file_copy_method"),
        pytest.param(8 * GB, 400, XFS, 179999, FILE_COPY, id="the last before 18"),
        pytest.param(8 * MB, 300, XFS, 170006, WAL_LOG, id="a small one of 17"),
        pytest.param(8 * GB, 400, Volume("xfs", False), 180000, FILE_COPY, id="an XFS that cannot share"),
        pytest.param(8 * GB, 400, Volume(), 180000, FILE_COPY, id="a server that cannot tell"),
    ],
)
def test_the_fastest_is_chosen(size_bytes: int, files: int, volume: Volume, version: int, expected: str) -> None:
    assert chosen(size_bytes, files, volume, version) == expected


def test_more_bytes_never_lead_back_to_the_wal() -> None:
    for volume, large in ((EXT4, FILE_COPY), (XFS, REFLINK)):
        taken = [chosen(size * MB, 2500, volume, 180000) for size in range(1, 4000, 7)]
        assert taken == sorted(taken, key=lambda one: one != WAL_LOG)
        assert (taken[0], taken[-1]) == (WAL_LOG, large)


def test_a_spare_that_shares_nothing_needs_its_size_twice() -> None:
    assert room_needed(4 * GB, REFLINK) == room_needed(0, FILE_COPY)
    assert room_needed(4 * GB, FILE_COPY) == room_needed(4 * GB, WAL_LOG) == room_needed(0, WAL_LOG) + 8 * GB


def test_a_source_overrides_it(tmp_path: Path) -> None:
    """What is not overridden is left to the golden's mark, where the choice is recorded."""
    (tmp_path / "host.toml").write_text(
        "[databases.measured]\nfile = '/x.dump'\n[databases.copied]\nfile = '/x.dump'\nstrategy = 'file_copy'\n"
    )
    terms = Adapters(load(tmp_path / "host.toml", {})).terms
    assert {name: one.strategy for name, one in terms.items()} == {"measured": "", "copied": FILE_COPY}
