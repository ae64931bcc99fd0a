"""The text of the one comment. What a pull request brought is in code, where it can be neither markup nor a mention."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from cx.errors import Invalid
from cx.model.pulls import Report
from cx.redaction import visible
from cx.resources import folder

MAX = 60_000  # GitHub takes 65,536 characters
LOG_MAX = 20_000
LINE_MAX = 1000
_MARKER = re.compile(r"<!-- cx:([a-z0-9-]+) ([0-9a-f]{16}) -->")
_MARKUP = re.compile(r"[\\`*_\[\]<>|!~$&{}^=]")
_JOINED = re.compile(r"(?<=[@#])|(?<=:)(?=//)|(?<=[wW]{3})(?=\.)|(?<=[gG][hH])(?=-)")  # else a mention, a link
_QUOTED = re.compile(r"([^\n]*)\n```\n(.*)\n```", re.DOTALL)  # how an answer quotes a log


def body(report: Report, own: Path | None = None) -> str:
    """What the comment says, with its marker. `own` is a template in the place of cx's. Raises Invalid."""
    path = own or folder("templates") / "comment.md.j2"
    where = str(own or "templates/comment.md.j2")
    try:
        source = path.read_text()
        for room in (LOG_MAX, LOG_MAX // 8, 0):
            said = re.sub(r"\n{3,}", "\n\n", _rendered(source, report, room)).strip()
            if len(said) <= MAX:
                return f"{said}\n\n{marker(report.namespace, said)}\n"
    except OSError as exc:
        raise Invalid(where, "", exc.strerror or "cannot be read") from exc
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as exc:
        raise Invalid(where, "", str(exc), remedy="docs/github.md lists the values") from exc
    raise Invalid(where, "", f"makes more than {MAX} characters, and GitHub takes no more")


def _rendered(source: str, report: Report, room: int) -> str:
    """`room`: characters for the log, and for the answers."""
    values: dict[str, Any] = asdict(report)
    values |= {
        "phase": report.phase.value,
        "pull": str(report.pull),
        "took": _lasting(report.took_s),
        "release": _lasting(report.release_s),
        "message": _cut(report.message, 2000),
        "remedy": _cut(report.remedy, 500),
        "log": _last(report.log, room),
        "notes": [_note(one, room // max(1, len(report.notes))) for one in report.notes],
    }
    return _compiled(source).render(values, code=code, fenced=fenced, text=text)


@lru_cache(maxsize=16)
def _compiled(source: str) -> jinja2.Template:
    # Markdown: nothing is escaped for HTML by itself, `code`, `fenced` and `text` do it.
    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)


def marker(namespace: str, said: str) -> str:
    """Hidden: finds the comment again, and tells whether it says the same."""
    return f"<!-- cx:{namespace} {hashlib.sha256(said.encode()).hexdigest()[:16]} -->"


def marked(said: str) -> tuple[str, str]:
    """Namespace and digest of the marker in a comment; "" and "" where there is none. It is on the last line."""
    found = _MARKER.fullmatch(said.rstrip().rpartition("\n")[2].strip())
    return (found[1], found[2]) if found else ("", "")


def code(value: str) -> str:
    """A code span, also in a table."""
    said = plain(value).replace("`", "'").replace("|", "¦")
    return f"`{_cut(said, 200) or '?'}`"


def text(value: str) -> str:
    """Words in a line, also in a table: nothing of it is markup, a mention or a link."""
    return _escaped(plain(value))


def _escaped(line: str) -> str:
    return _JOINED.sub("\u2060", _MARKUP.sub(r"\\\g<0>", line))


def plain(value: str) -> str:
    """One line, without what a terminal would obey and nobody sees."""
    return " ".join(visible(value).split())


def fenced(value: str) -> str:
    """A block of code. Its fence is longer than any inside."""
    said = visible(value).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", said)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{said}\n{fence}"


def _note(note: str, room: int) -> str:
    """An answer of cx's. Code spans, lists and one quoted log are kept; all else is words."""
    if quoted := _QUOTED.fullmatch(note):
        return _words(quoted[1]) + "\n\n" + fenced("\n".join(_last(tuple(quoted[2].split("\n")), room)))
    return "\n".join(map(_words, _cut(note, max(room, 500)).split("\n")))


def _words(line: str) -> str:
    line = visible(line).strip()
    item, line = ("- ", line[2:]) if line.startswith("- ") else ("", line)
    parts = re.split(r"`([^`]+)`", line)
    said = "".join(code(part) if number % 2 else _escaped(part) for number, part in enumerate(parts))
    return item + re.sub(r"^([0-9]*)([-+.)])", r"\1\\\2", said)


def _last(lines: tuple[str, ...], room: int) -> list[str]:
    kept: list[str] = []
    for line in reversed(lines):
        short = _cut(visible(line), LINE_MAX)
        room -= len(short) + 1
        if room < 0:
            break
        kept.append(short)
    return kept[::-1]


def _cut(value: str, most: int) -> str:
    return value if len(value) <= most else value[:most] + "…"


def _lasting(took_s: float | None) -> str:
    if took_s is None:
        return ""
    whole = round(took_s)
    return f"{took_s:.1f} s" if took_s < 10 else f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"
