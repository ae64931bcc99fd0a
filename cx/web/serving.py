"""The app on a port, until a signal: uvicorn, without its own ideas of logs and signals."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from cx.core.errors import Invalid, Retryable, Terminal

CONNECTIONS_MAX = 1000
HEADERS_S = 10.0  # for the headers of a request to arrive
STOP_S = 5  # for requests that are being answered when the signal comes


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there: from now on, whoever connects waits for `serve`.

    Raises Invalid, Retryable, Terminal.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol: without it asyncio does not set TCP_NODELAY, and an answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(CONNECTIONS_MAX)
    except (OSError, OverflowError) as exc:
        listener.close()
        if isinstance(exc, socket.gaierror):
            raise Invalid("--host", host, "is not an address of this machine") from exc
        if isinstance(exc, PermissionError):
            raise Terminal(f"port {port}: not allowed", remedy="choose one above 1023") from exc
        remedy = "choose another with --port, or stop what listens there"
        raise Retryable(f"cannot listen on {host}:{port}: {getattr(exc, 'strerror', exc)}", remedy=remedy) from exc
    return listener


class Server(uvicorn.Server):
    """A signal makes it stop, a second one at once; neither ends the process."""

    catches: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {kind: signal.signal(kind, self.handle_exit) for kind in self.catches}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


class Patient(H11Protocol):
    """A connection. One on which no request begins within HEADERS_S is ended: its place is for others."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _look_again(self) -> None:
        self._timer = self.loop.call_later(HEADERS_S, self._look, self.cycle)

    def _look(self, before: object) -> None:
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self.cycle is before:
            self.transport.close()
        else:
            self._look_again()


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Answers until SIGTERM or SIGINT, then finishes what it is answering."""
    gc.collect()
    gc.freeze()  # what there is by now stays; from now on garbage is looked for as usual, which `cx` puts off
    gc.set_threshold(700, 10, 10)
    Server(config(app)).run(sockets=[listener])


def config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Patient,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_S,
    )
