"""Logs of several containers as one stream of lines."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from cx.core.state import Container
from cx.docker.connection import Engine, translated

AHEAD = 1000  # lines that are read before somebody takes them
LINE_MAX_BYTES = 64 * 1024  # a longer one comes in parts: an app may print one that never ends


def log_lines(
    engine: Engine, containers: Sequence[Container], *, follow: bool, tail: int
) -> Iterator[tuple[Container, str]]:
    """Lines as they come: one container after another, or side by side where they are followed."""
    if not follow or len(containers) == 1:
        for one in containers:
            stream = _open(engine, one, follow=follow, tail=tail)
            try:
                yield from ((one, line) for line in _lines(stream))
            finally:
                stream.close()
        return
    lines: queue.Queue[tuple[Container, str | None]] = queue.Queue(AHEAD)
    over = threading.Event()

    def read(one: Container, stream: Any) -> None:
        # Closing the stream ends the read with whatever was in flight.
        with suppress(Exception):
            for line in _lines(stream):
                if over.is_set():
                    return
                lines.put((one, line))
        lines.put((one, None))

    streams = [_open(engine, one, follow=True, tail=tail) for one in containers]
    for one, stream in zip(containers, streams, strict=True):
        threading.Thread(target=read, args=(one, stream), daemon=True).start()
    left = len(streams)
    try:
        while left:
            container, line = lines.get()
            if line is None:
                left -= 1
            else:
                yield container, line
    finally:
        over.set()
        for stream in streams:
            stream.close()
        with suppress(queue.Empty):
            while True:
                lines.get_nowait()


def _open(engine: Engine, one: Container, *, follow: bool, tail: int) -> Any:
    with translated(f"read the log of {one.name}"):
        return engine.api.logs(one.id, stream=True, follow=follow, tail=tail)


def _lines(stream: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
        if len(rest) > LINE_MAX_BYTES:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace")
