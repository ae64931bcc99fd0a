"""CX_REMOTE names another host: no command whatever acts on this one. A command that is new is walked, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from calling import PARSED
from typer.core import TyperArgument, TyperGroup, TyperOption

from cx.cli.commands import Command

REMOTE = "http://127.0.0.1:1"  # where nobody answers
GOES = {  # to the host that is named; all others refuse
    *("deploy", "delete", "list", "show", "logs", "open", "events", "sleep", "wake", "extend", "db reset"),
}


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(command, TyperGroup):
        yield name, command
        return
    for one, inner in command.commands.items():
        yield from leaves(inner, f"{name} {one}".strip())


ALL = dict(leaves(PARSED))
VALUES = {"lasting": "3d", "namespace": "preview-1", "other": "preview-2", "url": "http://127.0.0.1:1/webhook"}


def words(name: str, command: Any) -> list[str]:
    """A call that is right but for the host."""
    given = name.split()
    for one in command.params:
        if isinstance(one, TyperArgument) and one.required:
            given.append(VALUES.get(one.name or "", "x"))
        elif isinstance(one, TyperOption) and one.required:
            given += [one.opts[0], VALUES.get(one.name or "", "x")]
        elif one.name == "force":
            given.append("--force")
    return given


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the host of this machine, or reads its configuration, fails the test."""

    def opened(*_: object) -> Any:
        pytest.fail("the host of this machine was opened")

    for name in ("cx.host.open_host", "cx.host.load_settings", "cx.host.host.load_settings", "cx.settings.load"):
        monkeypatch.setattr(name, opened)


def test_the_list_of_those_that_go_is_whole() -> None:
    found = {name for name, one in ALL.items() if any("--remote" in p.opts and not p.hidden for p in one.params)}
    assert found == GOES
    assert len(ALL) > 30
    assert all(isinstance(one, Command) for one in ALL.values())


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("by", ["variable", "option"])
def test_no_command_acts_on_this_host(
    cx: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, nothing_here: None, name: str, by: str
) -> None:
    monkeypatch.setenv("CX_REMOTE_TOKEN", "0123456789abcdef")
    argv = words(name, ALL[name])
    if by == "variable":
        monkeypatch.setenv("CX_REMOTE", REMOTE)
    else:
        argv += ["--remote", REMOTE]
    if name == "deploy":
        argv.append("no-such-folder")
    said = cx(*argv)
    assert said.out == ""
    (line,) = said.err.splitlines()
    if name in GOES:
        assert said.code in (75, 2), line
        assert "127.0.0.1:1 does not answer" in line or "no-such-folder" in line
    else:
        assert said.code == 2
        assert line.startswith(
            f"cx: --remote (CX_REMOTE): {REMOTE}: `cx {name}` acts on the host of this machine only; "
        )


@pytest.mark.parametrize("name", ["exec", "db", "db refresh", "prune"])
def test_help_is_there_all_the_same(cx: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CX_REMOTE", REMOTE)
    assert cx(*name.split(), "--help").out.startswith(f"Usage: cx {name} ")


def test_an_empty_name_is_this_host(cx: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CX_REMOTE", "")
    assert cx("config", "path").code == 0


def test_names_of_this_host_are_not_offered_for_another(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cx.cli.namespaces import complete

    def opened(*_: object) -> Any:
        raise AssertionError("this host was asked")

    monkeypatch.setattr("cx.host.open_host", opened)
    monkeypatch.setenv("CX_REMOTE", REMOTE)
    assert complete() == []
