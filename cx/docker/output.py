"""What a command in a running container, or a folder of it, has to say: passed on as it comes, never held whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from docker.utils.socket import STDOUT, frames_iter

from cx.core.errors import Terminal
from cx.docker.connection import Engine, EngineUnavailable, translated

Write = Callable[[bytes], object]


def run(engine: Engine, container: str, argv: Sequence[str], write: Write, *, doing: str) -> None:
    """`argv` has ended well, and `write` got its standard output. Raises Terminal with the last line that it said."""
    errors: deque[bytes] = deque(maxlen=64)
    with translated(doing):
        made = engine.api.exec_create(container, list(argv), environment={"LC_ALL": "C.UTF-8"})["Id"]
        stream = engine.api.exec_start(made, socket=True)
        try:
            for number, data in frames_iter(stream, tty=False):  # type: ignore[no-untyped-call]
                if number == STDOUT:
                    write(data)
                else:
                    errors.append(data)
        finally:
            close(stream)
        code = status(engine, made, doing=doing)
    if code:
        lines = [line for line in b"".join(errors).decode(errors="replace").splitlines() if line.strip()]
        raise Terminal(f"{doing}: {lines[-1][:300] if lines else f'ended with status {code}'}", log=lines[-20:])


def status(engine: Engine, made: str, *, doing: str) -> int:
    """The status that the command `made` has ended with. Raises EngineUnavailable where it runs still: its output,
    which has ended, was cut off."""
    code = engine.api.exec_inspect(made)["ExitCode"]
    if code is None:
        raise EngineUnavailable(f"{doing}: the connection to the engine broke", remedy="try again")
    return int(code)


def text(engine: Engine, container: str, argv: Sequence[str], *, doing: str) -> str:
    """As `run`; gives what it wrote."""
    parts: list[bytes] = []
    run(engine, container, argv, parts.append, doing=doing)
    return b"".join(parts).decode(errors="replace")


def tar(engine: Engine, container: str, path: str, write: Write, *, doing: str) -> None:
    """`write` got a tar of what is in the folder `path`. The container need not run."""
    with translated(doing):
        chunks, _ = engine.api.get_archive(container, f"{path}/.", chunk_size=1 << 20)
        for chunk in chunks:
            write(chunk)


def close(stream: Any) -> None:
    """Closes one of docker-py's sockets; what it hands out is a view that does not close the socket itself."""
    for part in (getattr(stream, "_response", None), stream, getattr(stream, "_sock", None)):
        if part is not None:
            part.close()
