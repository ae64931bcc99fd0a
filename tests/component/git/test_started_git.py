"""Every git that cx starts is started alike, whatever it is for."""

from __future__ import annotations

import ast
import os
import shutil
import time
from pathlib import Path

import pytest
from gitserver import Origin
from workshop import PR, Workshop, used

import cx
from cx.git import Sources, bundles
from cx.git.fetching import Fetching, Limits, Remote
from cx.git.upkeep import tidy
from cx.testing.memory import MemoryPreviews

LIMITS = Limits(timeout_s=60, size_bytes=64 << 20, files=1000)
ROOT = Path(cx.__file__).parent


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What each git was started with: its protocols, its lazy fetches, its mask, its folder, its arguments."""
    log, folder = tmp_path / "log", tmp_path / "bin"
    folder.mkdir()
    facts = '"$GIT_ALLOW_PROTOCOL|$GIT_NO_LAZY_FETCH|$PWD|$(printenv | cut -d= -f1 | sort | tr "\\n" ,)|$*"'
    (folder / "git").write_text(f'#!/bin/sh\necho {facts} >> "{log}"\nexec "{shutil.which("git")}" "$@"\n')
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    return log


def all_that_cx_does(folder: Path) -> None:
    shop, sources = Workshop(folder), Sources(folder / "state")
    app, origin = shop.repository("app"), Origin(folder)
    shop.repository("app/inner")
    for ref in ("", "", "HEAD"):
        source = used(sources, app, ref)
        assert source
        assert sources.has(source.project, source.tree)
    bundles.pack(sources, source, folder / "bundle")
    assert bundles.receive(sources, LIMITS, PR, folder / "bundle") == source.tree
    MemoryPreviews().receive(folder / "bundle", PR)
    sources.forget(PR, source.project)
    remote = Remote("acme/shop", f"file://{origin.bare}", local=True)
    Fetching(sources, LIMITS).fetch(remote, 7, origin.push(7, {"app.py": "x"}))
    Fetching(sources, LIMITS).forget(remote, 7)
    until = time.monotonic() + 60
    tidied = tidy(sources.path(remote.project), None, until=until, cancelled=lambda: False, soon_s=0, later_s=0)
    assert tidied.packed, tidied


@pytest.fixture
def calls(log: Path, tmp_path: Path) -> list[list[str]]:
    all_that_cx_does(tmp_path)
    calls = [line.split("|", 4) for line in log.read_text().splitlines()]
    return [call for call in calls if "user.name=t" not in call[4]]  # those of the tests


def test_each_git_has_all_three_settings(calls: list[list[str]]) -> None:
    commands = {word for call in calls for word in call[4].split()}
    assert {"init", "add", "fetch", "ls-remote", "gc", "bundle", "checkout-index", "ls-tree", "update-ref"} <= commands
    for protocol, lazy, _, variables, argv in calls:
        assert protocol == ("file" if {"fetch", "ls-remote"} & set(argv.split()) else "none"), argv
        assert lazy == "1", argv
        assert "safe.bareRepository=explicit" in argv
        assert "safe.directory" not in argv
        assert "protocol." not in argv.replace("protocol.version=2", "")
        assert "GIT_DIR" not in variables.split(",")


def test_no_git_is_started_where_a_folder_is(calls: list[list[str]], tmp_path: Path) -> None:
    """What git starts by a relative name, it finds where cx has put it."""
    for _, _, folder, _, argv in calls:
        assert folder == "/" or Path(folder).is_relative_to(tmp_path / "state"), argv


def test_git_is_started_in_one_place_only() -> None:
    found = [
        path.relative_to(ROOT)
        for path in ROOT.rglob("*.py")
        for one in ast.walk(ast.parse(path.read_text()))
        if isinstance(one, ast.List)
        and any(isinstance(part, ast.Constant) and part.value == "git" for part in one.elts)
    ]
    assert found == [Path("git/program.py")]
