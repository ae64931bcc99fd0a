"""What is written to the forge, in a thread of its own: nobody waits for it, and the forge's budget is kept.

Of the reports of one pull request the newest is told. How a deployment ended comes before progress, and is told however
long that takes; progress may be left out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from cx import logs
from cx.core.errors import CxError
from cx.pulls.budget import Early, Urgency
from cx.pulls.pauses import pause_s
from cx.pulls.ports import Announcer
from cx.pulls.statuses import Heads, tell
from cx.pulls.values import Phase, PullId, Report

QUIET_S = {Urgency.FINAL: 0.0, Urgency.PROGRESS: 3.0, Urgency.POSITION: 60.0}
TROUBLE_S = 2.0
TOLD_MAX = 2000  # pull requests that are remembered
ENDS = (Phase.READY, Phase.SLEEPING, Phase.FAILED, Phase.REMOVED, Phase.TAKEN)
NEWEST, STATUSES = "", "statuses"
Key = tuple[PullId, str]


@dataclass
class _Letter:
    """What is to be told: `send` it. `lasting`: until the forge has taken it; then `told` is called."""

    number: int
    urgency: Urgency
    send: Callable[[Urgency], None]
    context: Mapping[str, str]
    lasting: bool = False
    told: Callable[[], object] = lambda: None
    tries: int = 0
    not_before: float = 0.0
    why: str = ""


@dataclass
class Telling:
    """Threads may share it. Progress of one pull request is told some seconds after what was told last of it
    (`quiet_s`). `clock` is monotonic, in seconds."""

    announcer: Announcer
    quiet_s: Mapping[Urgency, float] = field(default_factory=lambda: QUIET_S)
    clock: Callable[[], float] = time.monotonic
    _letters: dict[Key, _Letter] = field(default_factory=dict, init=False)
    _busy: set[PullId] = field(default_factory=set, init=False)
    _told: dict[PullId, tuple[float, Phase | None]] = field(default_factory=dict, init=False)
    _count: int = field(default=0, init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    _stopped: bool = field(default=False, init=False)

    # --- what is to be told
    def soon(self, report: Report) -> None:
        """A later report may take its place, and when GitHub does not take it, nothing is lost."""
        self._post(report, lasting=False, told=lambda: None)

    def surely(self, report: Report, told: Callable[[], object]) -> None:
        """`told` is called when GitHub shows it; never, when a later report has taken its place."""
        self._post(report, lasting=True, told=told)

    def react(self, pull: PullId, comment: int, reaction: str) -> None:
        """Once, as long as this process lives."""

        def send(urgency: Urgency) -> None:
            self.announcer.react(pull.repository, comment, reaction)

        with self._changed:
            self._add((pull, f"reaction {comment} {reaction}"), _Letter(0, Urgency.FINAL, send, logs.context()))

    def statuses(self, repository: str, heads: Heads) -> None:
        """What `heads` has and the forge may not show yet is told. Where this process ends before, it is there."""
        if untold := heads.untold(repository):

            def send(urgency: Urgency) -> None:
                tell(heads, self.announcer, repository)

            urgency = Urgency.FINAL if untold[0].status.final else Urgency.PROGRESS
            with self._changed:
                key = (PullId(repository, 0), STATUSES)
                self._add(key, _Letter(0, urgency, send, logs.context(), lasting=True))

    def _post(self, report: Report, *, lasting: bool, told: Callable[[], object]) -> None:
        def send(urgency: Urgency) -> None:
            self.announcer.announce(report, urgency)
            if len(self._told) > TOLD_MAX:
                self._told.clear()
            self._told[report.pull] = self.clock(), report.phase

        with self._changed:
            letter = _Letter(0, self._urgency(report), send, logs.context(), lasting, told)
            self._add((report.pull, NEWEST), letter)

    def _urgency(self, report: Report) -> Urgency:
        """Where it stands in the queue is worth little to those who know that it does."""
        if report.phase in (*ENDS, Phase.HELD):
            return Urgency.FINAL
        waits = report.phase is Phase.QUEUED and self._told.get(report.pull, (0.0, None))[1] is Phase.QUEUED
        return Urgency.POSITION if waits else Urgency.PROGRESS

    def _add(self, key: Key, letter: _Letter) -> None:
        self._count += 1
        letter.number = self._count
        self._letters.pop(key, None)
        self._letters[key] = letter
        self._changed.notify_all()

    # --- telling
    def run(self) -> None:
        """Tells what is to be told, until `stop`."""
        while not self._stopped:
            try:
                if not self.turn():
                    with self._changed:
                        if not self._stopped:
                            self._changed.wait(self._early_s())
            except CxError as exc:  # the budget cannot be read
                logs.warning("nothing is told", why=exc)
                with self._changed:
                    self._changed.wait(TROUBLE_S)

    def turn(self) -> bool:
        """One letter that is due was sent; whether there was one."""
        with self._changed:
            key = next((key for key, early_s in self._in_order() if early_s <= 0), None)
            if key is None:
                return False
            letter = self._letters.pop(key)
            self._busy.add(key[0])
        with logs.about(**{"pull": str(key[0]), **letter.context}):
            again = not self._sent(letter)
        with self._changed:
            self._busy.discard(key[0])
            self._put_back(key, letter, again)
            self._changed.notify_all()
        return True

    def _sent(self, letter: _Letter) -> bool:
        """Whether it is over with it."""
        try:
            letter.send(letter.urgency)
            letter.told()
        except CxError as exc:
            after_s = getattr(exc, "retry_after_s", None)
            if not letter.lasting and after_s is None:
                logs.info("progress not told", why=exc)
                return True
            early = isinstance(exc, Early)
            letter.tries += not early
            letter.why = exc.what
            letter.not_before = self.clock() + (after_s or pause_s(str(letter.number), letter.tries))
            if not early:
                logs.warning("not told yet", why=exc, tries=letter.tries)
            return False
        except Exception:  # noqa: BLE001 - a defect in telling does not stop the telling of others
            logs.error("not told")
            letter.tries += 1
            letter.why = "a defect of cx: see the log"
            letter.not_before = self.clock() + pause_s(str(letter.number), letter.tries)
            return not letter.lasting
        return True

    def _put_back(self, key: Key, letter: _Letter, again: bool) -> None:
        if again:
            self._letters.setdefault(key, letter)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wake(self) -> None:
        """The clock may have moved: look again what is due."""
        with self._changed:
            self._changed.notify_all()

    # --- what waits
    def waits(self, pull: PullId) -> bool:
        """Something of it is still to be told that must be."""
        with self._changed:
            return pull in self._busy or any(one.lasting for (its, _), one in self._letters.items() if its == pull)

    def waiting(self) -> dict[Urgency, int]:
        with self._changed:
            found = [one.urgency for one in self._letters.values()]
        return {urgency: found.count(urgency) for urgency in Urgency}

    def pending(self, within_s: float) -> bool:
        """Something is being told, or will be within so many seconds, for the first time."""
        with self._changed:
            first = {key for key, one in self._letters.items() if not one.tries}
            return bool(self._busy) or any(key in first and early <= within_s for key, early in self._in_order())

    def untold(self) -> list[str]:
        """What must be told and is not yet, in words."""
        with self._changed:
            waiting = [(key[0], one) for key, one in self._letters.items() if one.lasting]
        return [f"{pull}: not told yet: {one.why or 'the budget of writes is used up'}" for pull, one in waiting]

    # --- order
    def _in_order(self) -> Iterator[tuple[Key, float]]:
        """Each letter, and in how many seconds it is due. Ends come first, in their order; then the newest progress."""
        waits = {urgency: self.announcer.wait_s(urgency) for urgency in {one.urgency for one in self._letters.values()}}
        now = self.clock()

        def place(item: tuple[Key, _Letter]) -> tuple[float, int]:
            letter = item[1]
            return -letter.urgency.value, letter.number if letter.urgency is Urgency.FINAL else -letter.number

        for key, letter in sorted(self._letters.items(), key=place):
            if key[0] not in self._busy:
                quiet_until = self._told.get(key[0], (float("-inf"), None))[0] + self.quiet_s[letter.urgency]
                yield key, max(waits[letter.urgency], letter.not_before - now, quiet_until - now)

    def _early_s(self) -> float | None:
        """Until the next is due; None: until something changes."""
        return min((early_s for _, early_s in self._in_order()), default=None)
