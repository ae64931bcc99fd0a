"""Logs of several containers as one stream of lines."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from cx.core.state import Container
from cx.docker.connection import Engine, Gone, translated

AHEAD = 1000  # lines that are read before somebody takes them
LINE_MAX_BYTES = 64 * 1024  # a longer one comes in parts: an app may print one that never ends


def log_lines(
    engine: Engine, containers: Sequence[Container], *, follow: bool, tail: int
) -> Iterator[tuple[Container, str]]:
    """Lines as they come: one container after another, or side by side where they are followed.

    A container that is removed meanwhile has no more to say. Raises EngineUnavailable where the engine dies: a log that
    was cut off is not taken for a whole one.
    """
    if not follow or len(containers) == 1:
        for one in containers:
            with _opened(engine, one, follow=follow, tail=tail) as chunks:
                yield from ((one, line) for line in _lines(chunks))
        return
    yield from _side_by_side(engine, containers, tail)


def _side_by_side(engine: Engine, containers: Sequence[Container], tail: int) -> Iterator[tuple[Container, str]]:
    lines: queue.Queue[tuple[Container, str | None]] = queue.Queue(AHEAD)
    over = threading.Event()

    def read(one: Container, chunks: Iterator[bytes]) -> None:
        try:
            for line in _lines(chunks):
                if over.is_set():
                    return
                lines.put((one, line))
        finally:
            lines.put((one, None))

    pool = ThreadPoolExecutor(len(containers), thread_name_prefix="log")
    with ExitStack() as opened:
        opened.callback(pool.shutdown, wait=False)
        opened.callback(_drain, lines)  # once the streams are closed: a thread may wait to hand on a line
        opened.callback(over.set)
        chunks = [opened.enter_context(_opened(engine, one, follow=True, tail=tail)) for one in containers]
        reading = {one.id: pool.submit(read, one, parts) for one, parts in zip(containers, chunks, strict=True)}
        while reading:
            container, line = lines.get()
            if line is None:
                reading.pop(container.id).result()  # raises what ended it
            else:
                yield container, line


def last_lines(engine: Engine, one: Container, count: int) -> tuple[str, ...]:
    """The newest lines that are there; none where the container is gone by now."""
    try:
        with translated(f"read the log of {one.name}"):
            text: bytes = engine.api.logs(one.id, tail=count)
    except Gone:
        return ()
    return tuple(text.decode(errors="replace").splitlines())


@contextmanager
def _opened(engine: Engine, one: Container, *, follow: bool, tail: int) -> Iterator[Iterator[bytes]]:
    """What the container prints, in chunks; none where it is gone by now."""
    doing = f"read the log of {one.name}"
    try:
        with translated(doing):
            stream: Any = engine.api.logs(one.id, stream=True, follow=follow, tail=tail)
    except Gone:
        yield iter(())
        return
    try:
        yield _chunks(stream, doing)
    finally:
        with suppress(OSError):  # the connection is broken
            stream.close()


def _chunks(stream: Any, doing: str) -> Iterator[bytes]:
    """Raises EngineUnavailable where the connection breaks: docker-py's own iterator ends there, as if all had come."""
    with suppress(Gone), translated(doing):
        yield from stream._stream


def _drain(lines: queue.Queue[tuple[Container, str | None]]) -> None:
    with suppress(queue.Empty):
        while True:
            lines.get_nowait()


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
