"""The listener: what stores deliveries, and beside it what works on them, in one process until a signal."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from cx import logs
from cx.core.errors import Invalid, Retryable
from cx.core.history import Chore
from cx.pulls import Gauge, Inbox
from cx.pulls.repositories import Followed
from cx.schema import Secret
from cx.web.app import make_app
from cx.web.metrics import Depth, Metrics
from cx.web.readiness import Readiness
from cx.web.serving import bound, is_loopback, serve
from cx.web.webhook import SIZE_MAX, Webhook

STOP_S = 20.0  # for what is being worked on when the signal comes
SECRET_MIN = 16


class Following(Protocol):
    """What works the queue, in threads of its own, and compares with GitHub at its start and on a timer."""

    def repositories(self) -> Followed:
        """Those that this host follows."""

    def start(self) -> None: ...

    def wake(self) -> None:
        """Something new is in the queue. Returns at once."""

    def measure(self, looked: Callable[[str, float], None]) -> None:
        """`looked` is told of each look from now on: a word for its outcome, and its seconds."""

    def parked(self) -> int:
        """How many of those that are taken have been looked at, and wait for a place to be deployed."""

    def chores(self) -> Sequence[Chore]:
        """How the newest runs went of what nobody waits for."""

    def gauges(self) -> Sequence[Gauge]:
        """Numbers for monitoring, as they are now."""

    def problems(self) -> Sequence[str]:
        """Why what is in the queue is not being worked on, or comes to nothing, in words; empty when all is well."""

    def stop(self, timeout_s: float) -> None:
        """No look begins any more. Those that run are finished, or abandoned after `timeout_s`: they come again."""

    def drain(self) -> Sequence[str]:
        """Works in this thread until nothing is due, without `start`; what failed, in words."""


class Runs(Protocol):
    """What follows pull requests until it is told to stop (cx/host/following.py)."""

    def run(self, stop: threading.Event) -> None: ...

    def wake(self) -> None: ...

    def measure(self, looked: Callable[[str, float], None]) -> None: ...

    def parked(self) -> int: ...

    def chores(self) -> Sequence[Chore]: ...

    def gauges(self) -> Sequence[Gauge]: ...

    def problems(self) -> Sequence[str]: ...

    def drain(self) -> Sequence[str]: ...


@dataclass
class Hands:
    """`Following` by one thread that runs `work`. Where that dies, so does the listener: a service is started anew."""

    work: Runs
    followed: Followed
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def repositories(self) -> Followed:
        return self.followed

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.work.run(self._stop)
        except Exception:  # noqa: BLE001 - whatever it is, it is told, and ends the listener
            logs.error("following died")
        if not self._stop.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def wake(self) -> None:
        self.work.wake()

    def measure(self, looked: Callable[[str, float], None]) -> None:
        self.work.measure(looked)

    def parked(self) -> int:
        return self.work.parked()

    def chores(self) -> Sequence[Chore]:
        return self.work.chores()

    def gauges(self) -> Sequence[Gauge]:
        return self.work.gauges()

    def problems(self) -> Sequence[str]:
        return self.work.problems() if self._alive() else ["nobody works on what is stored"]

    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        died = bool(self._thread) and not self._stop.is_set() and not self._alive()
        self._stop.set()
        self.work.wake()
        if self._thread:
            self._thread.join(timeout_s)
        if died:
            raise Retryable("what works on the deliveries died", remedy="its log says why; start the listener again")

    def drain(self) -> Sequence[str]:
        return self.work.drain()


@dataclass(frozen=True)
class Place:
    """Where the listener answers, and what it takes there."""

    host: str
    port: int
    secrets: tuple[bytes, ...]
    size_max: int = SIZE_MAX


def place(host: str, port: int, secrets: Sequence[Secret], *, insecure: bool, size_max: int = SIZE_MAX) -> Place:
    """Raises Invalid when anyone could make this host work."""
    revealed = tuple(one.reveal().encode() for one in secrets)
    if any(len(one) < SECRET_MIN for one in revealed):
        problem = f"should be {SECRET_MIN} characters or more (not shown here)"
        raise Invalid("the webhook's secret", "", problem, remedy="`openssl rand -hex 32` makes one")
    if not revealed and not insecure:
        raise Invalid(
            "listen.secrets",
            "",
            "there is none, so anyone could send deliveries",
            remedy="set it, or CX_LISTEN_SECRETS, to the secret of the webhook; on loopback --insecure does without",
        )
    if not revealed and not is_loopback(host):
        raise Invalid("--insecure", "", f"is for loopback only, not for {host}", remedy="set listen.secrets")
    return Place(host, port, revealed, size_max)


def assembled(at: Place, box: Inbox, following: Following, routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The app over the queue `box` and who works it."""

    def depth() -> Depth:
        parked, taken = following.parked(), len(box.running())
        return Depth(len(box.waiting()), min(parked, taken), max(0, taken - parked))

    metrics = Metrics(depth, following.chores, following.gauges)
    ready = Readiness(box.probe, following.problems)
    webhook = Webhook(box, at.secrets, following.repositories, metrics, following.wake, size_max=at.size_max)
    following.measure(metrics.looked)
    return make_app(webhook, metrics, ready.missing, routes)


def listen(at: Place, box: Inbox, following: Following, routes: Sequence[BaseRoute] = ()) -> None:
    """Deliveries are taken and worked on until SIGTERM or SIGINT; then no new ones, and those at work end.

    The caller holds the lock `following`, or the queue is its own. Raises CxError when it cannot begin.
    """
    socket = bound(at.host, at.port)
    left = box.recover()
    app = assembled(at, box, following, routes)
    following.start()
    host, port = socket.getsockname()[:2]
    logs.info(
        "listening",
        address=f"{host}:{port}",
        signed=bool(at.secrets),
        repositories=", ".join(sorted(following.repositories().names)) or "none",
        waiting=len(box.waiting()),
        taken_up_again=left,
    )
    try:
        serve(app, socket)
        logs.info("stopping", waiting=len(box.waiting()), running=len(box.running()))
    finally:
        following.stop(STOP_S)
    logs.info("stopped", waiting=len(box.waiting()))
