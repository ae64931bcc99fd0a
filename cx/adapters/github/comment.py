"""The text of the one comment. What a pull request brought is in code, where it can be neither markup nor a mention."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict
from pathlib import Path

import jinja2

from cx.errors import Invalid
from cx.model.pulls import Report
from cx.resources import template

MAX = 60_000  # GitHub takes 65,536 characters
LOG_MAX = 20_000
_MARKER = re.compile(r"<!-- cx:([a-z0-9-]+) ([0-9a-f]{16}) -->")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def body(report: Report, own: Path | None = None) -> str:
    """What the comment says, with its marker. `own` is a template in the place of cx's. Raises Invalid."""
    where = str(own or "templates/comment.md.j2")
    values = asdict(report) | {"phase": report.phase.value, "pull": str(report.pull), "took": _lasting(report.took_s)}
    values |= {
        "message": _cut(report.message, 2000),
        "log": _last(report.log),
        "notes": [_quiet(n) for n in report.notes],
    }
    try:
        made = _environment().from_string(own.read_text()) if own else template("comment.md.j2")
        said = made.render(values, code=code, fenced=fenced, text=text)
    except OSError as exc:
        raise Invalid(where, "", exc.strerror or "cannot be read") from exc
    except jinja2.TemplateError as exc:
        raise Invalid(where, "", str(exc), remedy="docs/github.md lists the values") from exc
    said = re.sub(r"\n{3,}", "\n\n", said).strip()[:MAX]
    return f"{said}\n\n{marker(report.namespace, said)}\n"


def marker(namespace: str, said: str) -> str:
    """Hidden: finds the comment again, and tells whether it says the same."""
    return f"<!-- cx:{namespace} {hashlib.sha256(said.encode()).hexdigest()[:16]} -->"


def marked(said: str) -> tuple[str, str]:
    """Namespace and digest of the marker in a comment; "" and "" where there is none. It is on the last line."""
    found = _MARKER.fullmatch(said.rstrip().rpartition("\n")[2].strip())
    return (found[1], found[2]) if found else ("", "")


def code(value: str) -> str:
    """A code span, also in a table."""
    plain = _CONTROL.sub("", value).replace("`", "'").replace("|", "¦").replace("\n", " ").strip()
    return f"`{plain or ' '}`"


def text(value: str) -> str:
    """Words in a line: nothing of it is markup."""
    return re.sub(r"[^\w .,:%()/+-]", "", _CONTROL.sub("", value)).strip()


def fenced(value: str) -> str:
    """A block of code. Its fence is longer than any inside."""
    plain = _CONTROL.sub("", value).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{plain}\n{fence}"


def _quiet(note: str) -> str:
    """An answer of cx's: it mentions nobody, and holds no HTML."""
    return _CONTROL.sub("", note).replace("@", "@\u2060").replace("<", "&lt;")


def _last(lines: tuple[str, ...]) -> list[str]:
    kept: list[str] = []
    room = LOG_MAX
    for line in reversed(lines):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]


def _cut(value: str, most: int) -> str:
    return value if len(value) <= most else value[:most] + "…"


def _lasting(took_s: float | None) -> str:
    if took_s is None:
        return ""
    whole = round(took_s)
    return f"{took_s:.1f} s" if took_s < 10 else f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"


def _environment() -> jinja2.Environment:
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=jinja2.StrictUndefined)
