"""Structured logs: one JSON object a line, each with what it is about (delivery, pull, namespace).

`about(delivery=...)` says it once; whatever is logged inside, in whichever module, carries it. Threads and processes
that are started inside do not inherit it: give them `context()`, and enter `about(**given)` there.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

_about: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039 - replaced, never changed
_logger = logging.getLogger("cx")
VALUE_MAX = 2000  # characters of one value: a log line is for reading


@contextmanager
def about(**facts: str) -> Iterator[None]:
    """What is logged in the block carries `facts`; an empty one is left out."""
    token = _about.set({**_about.get(), **{name: value for name, value in facts.items() if value}})
    try:
        yield
    finally:
        _about.reset(token)


def context() -> dict[str, str]:
    """What is logged here carries these."""
    return dict(_about.get())


def info(event: str, **facts: object) -> None:
    """`event` in a few words that stay the same: it is searched for. Facts are named, times are `..._s`."""
    _logger.info(event, extra={"facts": {**_about.get(), **facts}})


def warning(event: str, **facts: object) -> None:
    """Something that a person may have to look at."""
    _logger.warning(event, extra={"facts": {**_about.get(), **facts}})


def error(event: str, **facts: object) -> None:
    """A defect of cx, or a foreign system that broke its promise. With the traceback of what is being handled."""
    _logger.error(event, extra={"facts": {**_about.get(), **facts}}, exc_info=sys.exc_info()[0] is not None)


def start(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Everything that is logged goes to `stream` (standard error) as JSON lines; other libraries only if it is a
    warning. Safe to repeat."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _logger.setLevel(level)


class Lines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage()[:VALUE_MAX],
        }
        if not record.name.startswith("cx"):
            line["logger"] = record.name
        for name, value in getattr(record, "facts", _about.get()).items():
            plain = isinstance(value, bool | int | float | None)
            shortened = str(value)[-4 * VALUE_MAX :] if name == "traceback" else str(value)[:VALUE_MAX]
            line.setdefault(name, value if plain else shortened)
        if record.exc_info and record.exc_info[1]:
            line["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))[-4 * VALUE_MAX :]
        return json.dumps(line)
