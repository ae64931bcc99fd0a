"""GitHub and a host in memory, with cx's real queue and tables between them. Every change of the host is one effect,
before or after which the process may die, or the world may change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cx.core.errors import NotFound, Retryable, Terminal
from cx.core.names import Namespace
from cx.core.origin import NOBODY, Origin, owned
from cx.pulls import Announcer, Cancelled, Comment, Ended, Forge, ForgeFailed, Gauge, Moved, Order, Standing, Ticket
from cx.pulls.budget import Urgency
from cx.pulls.commands import Command, Verb
from cx.pulls.delivery import Delivery
from cx.pulls.look import Follower
from cx.pulls.statuses import State, Status
from cx.pulls.sync import missed
from cx.pulls.telling import Telling
from cx.pulls.values import DatabaseShown, Phase, Pull, PullId, Report, ServiceShown
from cx.settings.github import GitHub, Repository
from cx.store import Database
from cx.store.deliveries import Deliveries
from cx.store.heads import HeadsTable
from cx.store.pulls import PullsTable

SHOP = "acme/shop"
LIFETIME_S = 30 * 86400
OWN, OTHER = 1, 2


class Died(BaseException):
    """The process is gone."""


def pr(number: int) -> PullId:
    return PullId(SHOP, number)


def sha(number: int, push: int) -> str:
    return f"{number:08x}{push:032x}"


@dataclass
class Hub:
    """GitHub: pull requests, who may write, and the one comment on each."""

    pulls: dict[PullId, Pull] = field(default_factory=dict)
    paths: dict[PullId, tuple[str, ...]] = field(default_factory=dict)
    writers: set[str] = field(default_factory=lambda: {"owner"})
    shown: dict[PullId, Report] = field(default_factory=dict)
    history: dict[PullId, list[Report]] = field(default_factory=dict)
    statuses: dict[str, list[Status]] = field(default_factory=dict)
    said: list[Comment] = field(default_factory=list)
    reactions: Counter[int] = field(default_factory=Counter)
    mute: bool = False
    deaf: bool = False
    asked: Counter[str] = field(default_factory=Counter)

    # --- Forge
    def pull(self, pull: PullId) -> Pull | None:
        self._asked("pull")
        return self.pulls.get(pull)

    def open_pulls(self, repository: str) -> Sequence[Pull]:
        self._asked("open_pulls")
        return [one for one in self.pulls.values() if one.open]

    def comments(self, repository: str, since: float) -> Sequence[Comment]:
        self._asked("comments")
        return [one for one in self.said if one.said_at >= since]

    def changed_paths(self, pull: PullId) -> Sequence[str]:
        self._asked("changed_paths")
        return self.paths.get(pull, ("app.py",))

    def may_write(self, repository: str, login: str) -> bool:
        self._asked("may_write")
        return login in self.writers

    def fetch_url(self, repository: str) -> str:
        return f"https://github.invalid/{repository}.git"

    def credentials(self, repository: str) -> None:
        return None

    def refused(self) -> Sequence[str]:
        return ["GitHub does not answer"] if self.mute else []

    def _asked(self, what: str) -> None:
        self.asked[what] += 1
        if self.mute:
            raise Retryable("GitHub does not answer")

    # --- Announcer
    def announce(self, report: Report, urgency: Urgency) -> None:
        if self.deaf:
            raise Retryable("GitHub takes nothing")
        self.shown[report.pull] = report
        self.history.setdefault(report.pull, []).append(report)

    def status(self, pull: PullId, sha: str, status: Status, urgency: Urgency) -> None:
        if self.deaf:
            raise Retryable("GitHub takes nothing")
        self.statuses.setdefault(sha, []).append(status)

    def wait_s(self, urgency: Urgency) -> float:
        return 0.0

    def gauges(self) -> Sequence[Gauge]:
        return ()

    def react(self, repository: str, comment: int, reaction: str) -> None:
        if self.deaf:
            raise Retryable("GitHub takes nothing")
        self.reactions[comment] += 1


@dataclass
class Place:
    """A namespace on the host. `commit` and `origin` are intent; `parts` is all that runs, `serving` what answers."""

    commit: str = ""
    origin: Origin = NOBODY
    present: bool = True
    values: dict[str, str] = field(default_factory=dict)
    serving: str = ""
    parts: set[str] = field(default_factory=set)
    resets: int = 0
    asleep: bool = False
    until: float = float("inf")


@dataclass
class Computer:
    """The host: previews, jobs and the mirror. `broken` commits do not build."""

    hub: Hub
    clock: Callable[[], float]
    places: dict[Namespace, Place] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    fetched: list[tuple[PullId, str]] = field(default_factory=list)
    mirror: dict[PullId, str] = field(default_factory=dict)
    given: list[Order] = field(default_factory=list)
    builds: Counter[str] = field(default_factory=Counter)
    served: set[str] = field(default_factory=set)
    effects: int = 0
    tidied: int = 0
    at: dict[int, Callable[[], None]] = field(default_factory=dict)
    away: int = 0

    def effect(self) -> None:
        """A point at which the world may change, or the process may die."""
        self.effects += 1
        happens = self.at.pop(self.effects, None)
        if happens:
            happens()

    # --- Fetcher
    def fetch(self, pull: Pull, cancelled: Callable[[], bool], *, insist: bool = False) -> tuple[str, str]:
        self.effect()
        if cancelled():
            raise Cancelled("not wanted any more")
        if self.hub.pulls[pull.id].head != pull.head and not insist:
            raise Moved("it has another head")
        self.fetched.append((pull.id, pull.head))
        self.mirror[pull.id] = pull.head
        return "shop", pull.head

    def forget(self, pull: PullId) -> None:
        self.effect()
        self.mirror.pop(pull, None)

    def refused(self) -> Sequence[str]:
        return []

    def tidy(self, cancelled: Callable[[], bool]) -> None:
        self.tidied += 1

    # --- Jobs
    def run(self, order: Order, cancelled: Callable[[], bool], told: Callable[[Mapping[str, Any]], None]) -> Ended:
        self.given.append(order)
        if self.away:
            self.away -= 1
            return Ended("retry", message="the engine is away")
        if self.taken(order.namespace, order.origin, to_remove=order.action != "deploy"):
            return Ended("failed", message=f"{order.namespace} belongs to the folder /srv/secret")
        if order.action == "delete":
            return self._delete(order)
        if order.action in ("sleep", "wake"):
            place = self.places.get(order.namespace)
            if place is None or not place.present:
                return Ended("failed", message=f"{order.namespace} does not exist")
            self.effect()
            place.asleep = order.action == "sleep"
            return Ended("asleep" if place.asleep else "awake")
        return self._deploy(order, cancelled, told)

    def _delete(self, order: Order) -> Ended:
        place = self.places.setdefault(order.namespace, Place())
        place.present = False
        for part in sorted(place.parts):
            self.effect()
            place.parts.discard(part)
            place.serving = "" if part.startswith("route") else place.serving
        self.effect()
        if not place.present:
            del self.places[order.namespace]
        return Ended("deleted")

    def _deploy(self, order: Order, cancelled: Callable[[], bool], told: Callable[[Mapping[str, Any]], None]) -> Ended:
        place = self.places.setdefault(order.namespace, Place())
        place.present, place.commit, place.origin, place.asleep = True, order.commit, order.origin, False
        place.until = self.clock() + LIFETIME_S
        place.values, place.resets = dict(order.values), place.resets + (order.action == "reset")
        for step in ("clone app", "build app", "start", "publish"):
            told({"event": "step_began", "step": step})
            self.effect()
            if cancelled():
                return Ended("cancelled")
            if step == "build app":
                self.builds[order.commit] += 1
                if order.commit in self.broken:
                    return Ended("failed", "build app", "the image did not build", log=("no such file",))
            if step == "publish":
                place.serving = order.commit
                self.served.add(order.commit)
                place.parts = {one for one in place.parts if one.endswith(order.commit)} | {f"route {order.commit}"}
            else:
                place.parts.add(f"{step.split()[0]} {order.commit}")
        return Ended("ready")

    # --- Previews
    def standing(self, order: Order) -> Standing:
        place = self.places.get(order.namespace)
        if place is None:
            return Standing(False, str(order.origin))
        wanted = (place.commit, place.origin, place.values) == (order.commit, order.origin, dict(order.values))
        ready = place.present and wanted and place.serving == order.commit
        services = (ServiceShown("app", f"http://{order.namespace}-app.test"),) if place.serving else ()
        return Standing(
            ready,
            str(order.origin),
            place.asleep,
            place.serving,
            services,
            (DatabaseShown("app"),) if services else (),
            1.0,
        )

    def taken(self, namespace: Namespace, origin: Origin, *, to_remove: bool = False) -> bool:
        may = origin.may_remove if to_remove else origin.may_have
        return namespace in self.places and not may(self.places[namespace].origin)

    def want_absent(self, namespace: Namespace, origin: Origin) -> None:
        self.effect()
        if self.taken(namespace, origin, to_remove=True):
            raise owned(namespace, self.places[namespace].origin)
        self.places.setdefault(namespace, Place()).present = False

    def unwell(self, repository: str) -> set[Namespace]:
        mine = {name: one for name, one in self.places.items() if one.origin.repository == repository}
        return {name for name, one in mine.items() if not one.present or one.serving != one.commit}

    def over(self, namespace: Namespace, commit: str, origin: Origin) -> bool:
        place = self.places.get(namespace)
        mine = place and (place.commit, place.origin) == (commit, origin)
        return bool(place and mine and place.present and place.until <= self.clock())

    def extend(self, namespace: Namespace, lasting_s: float, origin: Origin) -> str:
        if namespace not in self.places or self.taken(namespace, origin):
            raise NotFound(f"{namespace} does not exist")
        self.places[namespace].until = max(self.places[namespace].until, self.clock() + lasting_s)
        return "later"

    def values(self, repository: str) -> Mapping[str, str]:
        return {"KEY": "very-secret-value"}

    def log(self, namespace: Namespace, service: str, origin: Origin) -> Sequence[str]:
        if service != "app" or self.taken(namespace, origin):
            raise NotFound(f"it has no service {service}")
        return ["it began", "with very-secret-value"]


@dataclass
class World:
    """Everything, over one database file. `process()` is a new process of cx on it."""

    folder: Path
    rules: Repository = field(default_factory=Repository)
    now: float = 1_000_000.0
    hub: Hub = field(default_factory=Hub)
    computer: Computer = field(init=False)
    said: int = 0

    def __post_init__(self) -> None:
        self.computer = Computer(self.hub, lambda: self.now)
        self.database = Database(self.folder / "cx.db")
        self.process()

    def process(self) -> None:
        self.follower = self.followed_by(self.hub, self.hub, self.database, lambda: self.now)
        self.telling, self.box = self.follower.telling, self.follower.queue
        self.box.recover()

    def followed_by(
        self, forge: Forge, announcer: Announcer, database: Database, clock: Callable[[], float]
    ) -> Follower:
        """What follows this host's pull requests, as `forge` has them."""
        settings, box = GitHub(repositories={SHOP: self.rules}), Deliveries(database, clock)
        return Follower(
            forge, Telling(announcer, clock=clock), box, box, PullsTable(database), HeadsTable(database, clock),
            self.computer, self.computer, self.computer, settings.rules.get,
            lambda pull: Namespace(settings.namespace_of(pull.repository, pull.number)),
            lambda text: text.replace("very-secret-value", "***"), clock,
        )  # fmt: skip

    # --- what people and GitHub do
    def push(self, number: int, push: int, **facts: Any) -> Pull:
        before = self.hub.pulls.get(pr(number)) or Pull(pr(number), OWN, OWN, "", "main", open=True)
        self.hub.pulls[pr(number)] = replace(before, head=sha(number, push), **facts)
        return self.hub.pulls[pr(number)]

    def change(self, number: int, **facts: Any) -> None:
        self.hub.pulls[pr(number)] = replace(self.hub.pulls[pr(number)], **facts)

    def say(self, number: int, verb: Verb, argument: str = "", login: str = "owner") -> Delivery:
        self.said += 1
        command = Command(pr(number), self.said, verb, login, argument, said_at=self.now)
        self.hub.said.append(Comment(self.said, number, login, f"/cx {verb} {argument}".strip(), self.now))
        return Delivery(f"c{self.said}", "issue_comment", "created", (pr(number),), (command,))

    def tell(self, number: int, verb: Verb, argument: str = "", login: str = "owner") -> None:
        self.box.accept(self.say(number, verb, argument, login))

    # --- what cx does
    def work(self, limit: int = 200) -> None:
        """Until nothing is due, in one thread."""
        for _ in range(limit):
            if not self.turn():
                return
        raise AssertionError("it never comes to rest")

    def turn(self, *, patience_s: float = 0) -> bool:
        """One look, and what it tells; whether there was one. Time goes by where everything waits for it."""
        ticket = self.box.take(self.now + patience_s)
        if ticket is None:
            return False
        self._looked(ticket)
        while self.telling.turn():
            pass
        return True

    def _looked(self, ticket: Ticket) -> None:
        try:
            if ticket.pull.number == 0:
                for one in missed(self.follower, SHOP):
                    self.box.ask(one.pull)
                self.box.done(ticket)
                return
            turn = self.follower.look(ticket, may_deploy=False)
            if turn.parked:
                turn = self.follower.look(ticket, may_deploy=True)
        except (Retryable, Terminal) as exc:
            self.box.again(ticket, self.now + 5, ticket.tries + 1, "" if isinstance(exc, ForgeFailed) else str(exc))
            return
        if turn.again_s is None:
            self.box.done(ticket)
        else:
            self.box.again(ticket, self.now + turn.again_s, turn.tries or 0, turn.trouble)

    def look(self, *numbers: int) -> None:
        for number in numbers:
            self.box.ask(pr(number))
        self.work()

    def settle(self) -> None:
        """GitHub is well again, and the timer has come."""
        self.hub.mute = self.hub.deaf = False
        self.computer.at.clear()
        for _ in range(6):
            self.now += 1000
            self.box.ask(PullId(SHOP, 0))
            self.work()

    def phase(self, number: int) -> Phase | None:
        report = self.hub.shown.get(pr(number))
        return report.phase if report else None

    def state(self, number: int, push: int) -> State | None:
        """Of the commit, as GitHub shows it last."""
        shown = self.hub.statuses.get(sha(number, push))
        return shown[-1].state if shown else None

    def said_of(self, number: int, push: int) -> str:
        shown = self.hub.statuses.get(sha(number, push))
        return shown[-1].description if shown else ""

    def place(self, number: int) -> Place | None:
        return self.computer.places.get(Namespace(f"preview-{number}"))

    def serving(self, number: int) -> str:
        place = self.place(number)
        return place.serving if place else ""
