"""A relay on a socket of its own, before another one: to cut connections, to hear what is said, to speak TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ENGINE = "/var/run/docker.sock"


@dataclass
class Relay:
    """`address` as DOCKER_HOST has it. `heard` has the first line of each request; `before` is called with it,
    and then the request is passed on."""

    address: str
    _listening: socket.socket
    _tls: ssl.SSLContext | None
    _to: str
    heard: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda request: None
    refused: int = 0
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cut(self) -> None:
        """Whoever is connected finds its connection broken, and whoever comes finds nobody."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # closing it alone wakes nobody
        self._listening.close()
        self.sever()

    def sever(self) -> None:
        """Whoever is connected finds its connection broken; whoever comes is served."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        try:
            near = self._tls.wrap_socket(client, server_side=True) if self._tls else client
        except OSError:
            self.refused += 1
            client.close()
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._to)
        with self._lock:
            self._open |= {near, far}
        back = threading.Thread(target=self._copy, args=(far, near, False), daemon=True)
        back.start()
        self._copy(near, far, True)
        back.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _copy(self, source: socket.socket, to: socket.socket, hear: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if hear and b" HTTP/1.1" in data:
                    self.heard.append(data.partition(b"\r\n")[0].decode())
                    self.before(self.heard[-1])
                to.sendall(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR if hear else socket.SHUT_RDWR)


@contextmanager
def relay(place: Path | tuple[str, int], *, tls: ssl.SSLContext | None = None, to: str = ENGINE) -> Iterator[Relay]:
    """Before the engine's socket, at a path or at an address of loopback (port 0: a free one)."""
    if isinstance(place, Path):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(place))
        address = f"unix://{place}"
    else:
        listening = socket.socket()
        listening.bind(place)
        address = f"tcp://{place[0]}:{listening.getsockname()[1]}"
    listening.listen(50)
    made = Relay(address, listening, tls, to)
    threading.Thread(target=made.serve, daemon=True).start()
    try:
        yield made
    finally:
        made.cut()
