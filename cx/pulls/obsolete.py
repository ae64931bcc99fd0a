"""Whether a deployment that runs is of use still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cx import logs
from cx.core.errors import CxError
from cx.pulls.commands import Command, Verb
from cx.pulls.ports import Commands, Forge, Queue, Ticket
from cx.pulls.rules import May
from cx.pulls.values import Pull


@dataclass
class Obsolete:
    """A deployment of the pull request's head asks it often. It asks GitHub only after somebody asked for a look.

    `may` judges the pull request as GitHub has it now."""

    forge: Forge
    queue: Queue
    commands: Commands
    ticket: Ticket
    pull: Pull
    may: Callable[[Pull], May]
    stopped: Callable[[], bool]
    _seen: int = field(init=False)
    _answer: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._seen = self.ticket.generation

    def __call__(self) -> bool:
        if self._answer or self.stopped():
            return True
        generation = self.queue.generation(self.pull.id)
        if generation != self._seen:
            self._seen = generation
            try:
                self._answer = self._asked()
            except CxError as exc:
                logs.info("not known whether it is of use still", why=exc)
        return self._answer

    def _asked(self) -> bool:
        now = self.forge.pull(self.pull.id)
        if now is None or now.head != self.pull.head or self.may(now) is not May.HAVE:
            return True
        return any(self._stops(command) for command in self.commands.unanswered(self.pull.id))

    def _stops(self, command: Command) -> bool:
        if command.verb is not Verb.DELETE:
            return False
        return command.is_by_hand or self.forge.may_write(self.pull.id.repository, command.login)
