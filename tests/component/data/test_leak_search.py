"""The script that looks for canaries in files, as bash runs it in the tools container."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cx.data.masking.searching import IN_FILES


@pytest.fixture
def looked(tmp_path: Path) -> Path:
    """Files of which every other one holds a canary, shared out among the two processes."""
    (tmp_path / "canaries.only").write_text("ada@corp.example\n")
    names = []
    for number in range(4):
        names.append(tmp_path / f"file{number}")
        names[-1].write_bytes(b"\0\xff" + (b"xada@corp.examplex" if number < 2 else b"nothing"))
    for half in range(2):
        (tmp_path / f"files.{half}").write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names[half::2]))
    return tmp_path


def run(folder: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    script = "set -o pipefail\n" + IN_FILES.format(canaries=folder / "canaries", files=folder / "files")
    environment = {"PATH": f"{path}:{os.environ['PATH']}", "LC_ALL": "C"}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)


def test_what_either_process_finds_is_told(looked: Path) -> None:
    assert run(looked).returncode == 0
    assert (looked / "canaries.hits").read_text() == "ada@corp.example\n"
    found = (looked / "canaries.in").read_text().split()
    assert [Path(name).name for name in found] == ["file0", "file1"]


def test_a_file_that_is_gone_meanwhile_holds_none(looked: Path) -> None:
    (looked / "file1").unlink()
    assert run(looked).returncode == 0
    assert (looked / "canaries.in").read_text() == f"{looked / 'file0'}\n"


@pytest.mark.parametrize("half", [0, 1])
def test_a_file_that_cannot_be_read_is_not_clean(looked: Path, half: int) -> None:
    (looked / f"file{half}").unlink()
    (looked / f"file{half}").mkdir()
    ran = run(looked)
    assert ran.returncode != 0
    assert "Is a directory" in ran.stderr


def test_a_search_that_is_killed_is_not_clean(looked: Path) -> None:
    (looked / "bin").mkdir()
    killing = "for one; do case $one in *file1) kill -9 $PPID; exit ;; esac; done"
    (looked / "bin" / "grep").write_text(f'#!/bin/sh\n{killing}\nexec {shutil.which("grep")} "$@"\n')
    (looked / "bin" / "grep").chmod(0o755)
    assert run(looked, str(looked / "bin")).returncode != 0
