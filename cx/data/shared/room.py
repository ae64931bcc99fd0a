"""Nothing that cx does fills the disk of the previews' server: one that cannot write WAL is down, with all previews.

A part of the disk is never taken. How large a copy becomes is known before it is begun. How large a golden becomes is
not: dumps are packed, rows are masked and left out. So the disk is watched while the loader writes, and the loader is
stopped before it is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from threading import Event, Thread

from cx.core.errors import CxError
from cx.data.errors import NoSpace
from cx.data.session import Session, session
from cx.data.shared import volume
from cx.data.values import Server

_FASTEST = 1e9  # bytes a second that a disk takes
_OFTEN_S, _SELDOM_S = 0.1, 5.0
_LEAST = 96 << 20  # six segments of WAL
_MOST = 512 << 20  # what a fast disk takes while nobody looks, and more
_PART = 0.05
_STOP = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"


@contextmanager
def watched(server: Server, role: str, what: str) -> Iterator[None]:
    """Whatever `role` does meanwhile ends before the disk is full. Raises NoSpace then, or at once."""
    with session(server) as connection:
        if (room := look(connection)).spare <= 0:
            raise _no_space(what, room)
    watch = _Watch(server, role)
    watch.start()
    try:
        yield
    except CxError as exc:
        if watch.short:
            raise _no_space(what, watch.short) from exc
        raise
    finally:
        watch.stop()


@dataclass(frozen=True)
class Room:
    """In bytes; `spare` is how much of what is free may be taken."""

    free: float
    spare: float


class _Watch(Thread):
    """`short`: what it saw when it stopped the role; None: it did not have to."""

    def __init__(self, server: Server, role: str) -> None:
        super().__init__(name="disk", daemon=True)
        self.short: Room | None = None
        self._server = server
        self._role = role
        self._over = Event()

    def run(self) -> None:
        wait_s = _OFTEN_S
        while not self._over.wait(wait_s):
            with suppress(CxError):  # the refresh finds out by itself that the server is away
                wait_s = self._look()

    def _look(self) -> float:
        """When to look again, in seconds."""
        with session(self._server) as connection:
            room = look(connection)
            if room.spare <= 0:
                self.short = room
            if self.short:  # also whoever comes in the place of those that were stopped
                connection.execute(_STOP, [self._role])
        return max(_OFTEN_S, min(room.spare / _FASTEST, _SELDOM_S))

    def stop(self) -> None:
        self._over.set()
        self.join()


def look(connection: Session) -> Room:
    """What the server's disk has room for; where it cannot tell, for all."""
    free, size = volume.free(connection)
    if free is None or size is None:
        return Room(inf, inf)
    return Room(free, free - min(max(_LEAST, size * _PART), _MOST))


def _no_space(what: str, room: Room) -> NoSpace:
    return NoSpace(
        f"the previews' server has no space left for {what}: {room.free / 1e6:.0f} MB are free; what was there serves",
        remedy="remove previews (cx list, cx delete) or give its volume more disk",
    )
