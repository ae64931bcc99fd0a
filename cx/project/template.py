"""Compose text from a template: cx's own for a repository that has none, or the repository's, which is hostile. A
comment's text from a template that is not cx's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from cx.core.errors import Invalid
from cx.core.names import shown
from cx.project import sandbox
from cx.resources import template

TIMEOUT_S = 10.0


def render_own(values: Mapping[str, Any]) -> str:
    """The Compose text of `templates/compose.yml.j2`."""
    try:
        return template("compose.yml.j2").render(values, literal=sandbox.literal)
    except jinja2.UndefinedError as exc:
        raise Invalid("templates/compose.yml.j2", "", str(exc)) from exc


def render_theirs(source: str, values: Mapping[str, Any], where: str) -> str:
    """The Compose text that a repository's own template makes. Raises Invalid with file and line."""
    return _apart("compose", source, values, where, "docs/cx-toml.md lists the values")


def render_comment(source: str, values: Mapping[str, Any], where: str) -> str:
    """What a template makes of a pull request's comment. Raises Invalid with file and line."""
    return _apart("comment", source, values, where, "docs/github.md lists the values")


def _apart(kind: str, source: str, values: Mapping[str, Any], where: str, remedy: str) -> str:
    asked = json.dumps({"source": source, "name": where, "values": values, "kind": kind})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _START, sandbox.__file__, *_folders()],
            input=asked.encode(),
            capture_output=True,
            env={},
            cwd="/",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise Invalid(where, "", f"takes more than {TIMEOUT_S:.0f} s to render") from exc
    if done.returncode < 0:
        raise Invalid(where, "", f"takes more than {sandbox.CPU_S} s of processor time to render")
    try:
        answer = json.loads(done.stdout)
    except ValueError as exc:
        raise Invalid(where, "", "takes more memory to render than it may have") from exc
    if "problem" in answer:
        line = f":{answer['line']}" if answer.get("line") else ""
        raise Invalid(f"{where}{line}", "", shown(answer["problem"], 200), remedy=remedy)
    return str(answer["text"])


# Without `site`, which would cost a third of the time and read files of the host.
_START = "import runpy, sys; sys.path[:0] = sys.argv[2:]; runpy.run_path(sys.argv[1], run_name='__main__')"


def _folders() -> list[str]:
    """Where Jinja is, and cx's own words for comments."""
    return [str(Path(jinja2.__file__).parent.parent), str(Path(__file__).parents[2])]
