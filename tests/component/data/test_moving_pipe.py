"""The pipe that rows go through, as bash runs it in the tools container, between two programs in psql's place."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cx.data.masking.dialects.postgres.moving import _PIPE

SOURCE = "printf '%s\\n' one ada@corp.example 'x ada@corp.example' two"
PSQL = """#!/bin/sh
case "$*" in
  *service=source*) {source} ;;
  *) cat > {folder}/arrived; {target} ;;
esac
"""


def run(
    folder: Path, *, source: str = SOURCE, target: str = "true", canaries: str | None = "ada@corp.example\n"
) -> tuple[int, str]:
    """How the pipe ends, and what it says."""
    (folder / "bin").mkdir()
    (folder / "bin" / "psql").write_text(PSQL.format(source=source, target=target, folder=folder))
    (folder / "bin" / "psql").chmod(0o755)
    if canaries is not None:
        (folder / "canaries.only").write_text(canaries)
    (folder / "restrict.0").write_text("\\restrict 0123\n")
    script = _PIPE.format(work=folder, canaries=folder / "canaries")
    argv = ["bash", "-c", script, "bash", "0", "/dev/null", "/dev/null"]
    env = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stderr


def test_rows_arrive_and_are_looked_at(tmp_path: Path) -> None:
    assert run(tmp_path) == (0, "")
    assert (tmp_path / "arrived").read_text().splitlines()[1:] == [
        "one",
        "ada@corp.example",
        "x ada@corp.example",
        "two",
    ]
    assert (tmp_path / "canaries.moved.0").read_text() == "ada@corp.example\n"


def test_nothing_to_find_is_no_failure(tmp_path: Path) -> None:
    assert run(tmp_path, canaries="nobody@corp.example\n") == (0, "")
    assert (tmp_path / "canaries.moved.0").read_text() == ""


def test_many_rows_pass_where_nothing_is_looked_for(tmp_path: Path) -> None:
    """grep reads nothing where it has no pattern; what writes to it must not end by that."""
    assert run(tmp_path, source="seq 200000", canaries="") == (0, "")
    assert (tmp_path / "arrived").read_text().splitlines()[-1] == "200000"


def test_a_search_that_fails_is_not_clean(tmp_path: Path) -> None:
    code, said = run(tmp_path, canaries=None)
    assert code != 0
    assert "source: error: the search for raw values on the way has failed" in said


@pytest.mark.parametrize(
    ("ends", "says"),
    [({"source": "echo 'psql: error: gone' >&2; exit 3"}, "source: psql: error: gone"),
     ({"target": "echo 'psql: error: full' >&2; exit 3"}, "target: psql: error: full")],
)  # fmt: skip
def test_either_end_may_fail(tmp_path: Path, ends: dict[str, str], says: str) -> None:
    code, said = run(tmp_path, **ends)
    assert code != 0
    assert said.strip() == says
