"""A refill that a process of its own fails at, as `cx deploy` starts it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cx import settings
from cx.host import Host

PATIENCE_S = 60


def test_it_is_known_that_a_refill_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "host.toml"
    dump = tmp_path / "dump.sql"
    dump.touch()
    config.write_text(
        f"""
state_dir = "{tmp_path / "state"}"
[network]
pool = "127.80.0.0/16"  # where no database server answers
[databases.app]
file = "{dump}"
"""
    )
    monkeypatch.setenv("CX_CONFIG", str(config))
    host = Host(settings.load(config, {}))
    try:
        host.refilling.later()
        until = time.monotonic() + PATIENCE_S
        while (last := host.refilling.last()) is None or last.outcome == "running":
            assert time.monotonic() < until, "nothing was written down"
        assert last.outcome == "failed"
        assert "the database server does not " in last.message  # run, or answer: as far as an engine can tell
    finally:
        if host.refilling._child:
            host.refilling._child.wait()
        host.close()
