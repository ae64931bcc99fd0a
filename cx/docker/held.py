"""A program in a container that has been started, and does its work when it is told to.

To start a program in a container takes the engine a tenth of a second and more. Where the moment counts, this is done
ahead. What dies before it gives the word has changed nothing: the program sees the end of its input.
"""

from __future__ import annotations

import socket
from typing import Any

from docker.errors import DockerException
from docker.utils.socket import frames_iter

from cx.docker.connection import Engine

SCRIPT = 'read -r word && [ "$word" = go ] && exec "$@"'


class HeldExec:
    """`argv` in `container`, as soon as `go` is called. Raises docker-py's errors when it cannot be started."""

    def __init__(self, engine: Engine, container: str, argv: list[str], *, answer_within_s: float = 10) -> None:
        self._api = engine.api
        self._id = self._api.exec_create(container, ["sh", "-c", SCRIPT, "sh", *argv], stdin=True)["Id"]
        self._stream: Any = self._api.exec_start(self._id, socket=True)
        # docker-py gives a reader for a local engine; what is behind it can be written to as well.
        self._socket: socket.socket = getattr(self._stream, "_sock", self._stream)
        self._socket.settimeout(answer_within_s)

    def go(self) -> bool:
        """Let it work, and wait for its end: True when it did it. False: it was gone, or failed; nothing is known."""
        try:
            self._socket.sendall(b"go\n")
            for _ in frames_iter(self._socket, tty=False):  # type: ignore[no-untyped-call]
                pass
            return bool(self._api.exec_inspect(self._id)["ExitCode"] == 0)
        except (OSError, DockerException):
            return False
        finally:
            self.close()

    def close(self) -> None:
        self._stream.close()
        self._socket.close()
