"""The text of the one comment. What a pull request brought is in code, where it can be neither markup nor a mention."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from cx.core.errors import Invalid
from cx.markdown import code, cut, escaped, fenced, text
from cx.project.template import render_comment
from cx.pulls.marker import marker
from cx.pulls.values import Report
from cx.redaction import visible
from cx.resources import folder

MAX = 60_000  # GitHub takes 65,536 characters
LOG_MAX = 20_000
LINE_MAX = 1000
_QUOTED = re.compile(r"([^\n]*)\n```\n(.*)\n```", re.DOTALL)  # how an answer quotes a log


@dataclass(frozen=True)
class Template:
    """One that stands in the place of cx's own; `where` is it for whoever looks for a mistake in it."""

    where: str
    source: str


def body(report: Report, theirs: Template | None = None) -> str:
    """What the comment says, with its marker, which no template writes. Raises Invalid for a template of `theirs` that
    does not work."""
    where = theirs.where if theirs else "templates/comment.md.j2"
    for room in (LOG_MAX, LOG_MAX // 8, 0):
        values = _values(report, room)
        said = render_comment(theirs.source, values, where) if theirs else _own(values)
        said = re.sub(r"\n{3,}", "\n\n", said).strip().encode(errors="replace").decode()
        if not said:
            raise Invalid(where, "", "makes no text")
        if len(said) <= MAX:
            return f"{said}\n\n{marker(report.namespace, said)}\n"
    raise Invalid(where, "", f"makes more than {MAX} characters, and GitHub takes no more")


def _values(report: Report, room: int) -> dict[str, Any]:
    """`room`: characters for the log, and for the answers."""
    values: dict[str, Any] = asdict(report)
    return values | {
        "phase": report.phase.value,
        "pull": str(report.pull),
        "took": _lasting(report.took_s),
        "release": _lasting(report.release_s),
        "message": cut(report.message, 2000),
        "remedy": cut(report.remedy, 500),
        "log": _last(report.log, room),
        "notes": [_note(one, room // max(1, len(report.notes))) for one in report.notes],
    }


def _own(values: dict[str, Any]) -> str:
    return _compiled().render(values, code=code, fenced=fenced, text=text)


@lru_cache(maxsize=1)
def _compiled() -> jinja2.Template:
    # Markdown: nothing is escaped for HTML by itself, `code`, `fenced` and `text` do it.
    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((folder("templates") / "comment.md.j2").read_text())


def _note(note: str, room: int) -> str:
    """An answer of cx's. Code spans, lists and one quoted log are kept; all else is words."""
    if quoted := _QUOTED.fullmatch(note):
        return _words(quoted[1]) + "\n\n" + fenced("\n".join(_last(tuple(quoted[2].split("\n")), room)))
    return "\n".join(map(_words, cut(note, max(room, 500)).split("\n")))


def _words(line: str) -> str:
    line = visible(line).strip()
    item, line = ("- ", line[2:]) if line.startswith("- ") else ("", line)
    parts = re.split(r"`([^`]+)`", line)
    said = "".join(code(part) if number % 2 else escaped(part) for number, part in enumerate(parts))
    return item + re.sub(r"^([0-9]*)([-+.)])", r"\1\\\2", said)


def _last(lines: tuple[str, ...], room: int) -> list[str]:
    kept: list[str] = []
    for line in reversed(lines):
        short = cut(visible(line), LINE_MAX)
        room -= len(short) + 1
        if room < 0:
            break
        kept.append(short)
    return kept[::-1]


def _lasting(took_s: float | None) -> str:
    if took_s is None:
        return ""
    whole = round(took_s)
    return f"{took_s:.1f} s" if took_s < 10 else f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"
