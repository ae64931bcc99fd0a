"""A queue of processes for what one scope at a time may do: who is of the same scope works side by side.

A ticket is a file on which its process holds a lock (flock), so that the ticket dies with the process. Tickets are
numbered in the order in which they were taken. A scope that comes again stands behind those that wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cx.core.errors import Busy
from cx.process.locks import held, is_held

POLL_S, LOOK_S = 0.05, 0.5
# What a killed holder had begun elsewhere goes on for a moment: BuildKit ends the steps of a client that is gone
# within 0.1 s, as was measured.
AFTERMATH_S = 1.0
_SUFFIX = ".ticket"
_FACTS = ("scope", "who")


def nobody(_: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class _Ticket:
    number: int
    path: Path
    scope: str = ""
    who: str = "another process"


@dataclass(frozen=True)
class Turns:
    """The queue in `folder`, of all processes that use it."""

    folder: Path
    clock: Callable[[], float] = time.monotonic

    @contextmanager
    def turn(
        self,
        scope: str,
        who: str,
        *,
        wait_s: float,
        waiting: Callable[[str], None] = nobody,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Iterator[int]:
        """It is the turn of `scope` as long as the block runs. Gives the ticket's descriptor: a child that inherits it
        holds the turn as well.

        `who` is what others are told that they wait for. While it waits itself, `waiting` is told for whom, anew when
        this changes, and `meanwhile` is called: what it raises ends the waiting. Raises Busy after `wait_s`.
        """
        digest = hashlib.sha256(scope.encode()).hexdigest()
        mine, descriptor = self._taken(digest, who)
        ended = True
        try:
            self._await(mine, wait_s, waiting, meanwhile)
            ended = False
            yield descriptor
            ended = True
        finally:
            if ended:  # else what it began may go on for a moment: to others it is as if it had died
                mine.path.unlink(missing_ok=True)
            os.close(descriptor)

    def _taken(self, scope: str, who: str) -> tuple[_Ticket, int]:
        """A ticket at the end of the queue."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with held(self.folder / "queue.lock", "take a ticket", wait_s=60):
            tickets = self._tickets()
            if all(one.scope == scope or not is_held(one.path) for one in tickets):  # nobody waits for the dead of it
                for ticket in tickets:
                    if ticket.scope == scope and not is_held(ticket.path):
                        ticket.path.unlink(missing_ok=True)
            number = max((one.number for one in tickets), default=0) + 1
            path = self.folder / f"{number:08d}{_SUFFIX}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, json.dumps({"scope": scope, "who": who, "pid": os.getpid()}).encode())
        return _Ticket(number, path, scope, who), descriptor

    def _await(
        self, mine: _Ticket, wait_s: float, waiting: Callable[[str], None], meanwhile: Callable[[], None]
    ) -> None:
        began = looked = self.clock()
        announced, gone = "", dict[Path, float]()
        while ahead := self._ahead(mine, gone):
            who = ahead[0].who if len(ahead) == 1 else f"{ahead[0].who} and {len(ahead) - 1} more"
            if self.clock() - began >= wait_s:
                raise Busy(f"{mine.who}: it waited {wait_s:.0f} s for {who}", remedy="try again")
            if who != announced:
                announced = who
                waiting(who)
            if self.clock() - looked >= LOOK_S:
                looked = self.clock()
                meanwhile()
            time.sleep(POLL_S)

    def _ahead(self, mine: _Ticket, gone: dict[Path, float]) -> list[_Ticket]:
        """Those whom it waits for, in order: of another scope, and at work, in the queue, or hardly dead.

        `gone` keeps since when it has seen of each that it is dead.
        """
        ahead = []
        for ticket in self._tickets():
            if ticket.number >= mine.number or ticket.scope == mine.scope:
                continue
            if is_held(ticket.path) or self.clock() - gone.setdefault(ticket.path, self.clock()) < AFTERMATH_S:
                ahead.append(ticket)
            else:
                ticket.path.unlink(missing_ok=True)
        return ahead

    def _tickets(self) -> list[_Ticket]:
        """Of the living and of the dead, in order."""
        tickets = []
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            with suppress(FileNotFoundError):  # its turn is over
                facts = json.loads(path.read_bytes() or b"{}")
                tickets.append(_Ticket(int(path.stem), path, **{key: facts[key] for key in _FACTS if key in facts}))
        return tickets
