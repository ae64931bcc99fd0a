"""Intent and facts: what should be, what is, and one step from the one to the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from cx.core.kinds import Way
from cx.core.names import Namespace
from cx.core.origin import NOBODY, Origin, OriginKind

# Part of every revision's digest: raised when cx renders the same input to something else.
RENDERING = 1


@dataclass(frozen=True)
class Desired:
    """One row of intent. `tree` is the git tree (40 hex) in cx's mirror of the project; `commit` is the
    commit that it comes from, or "" for a folder that is no repository; `dirty` says that the folder
    had changes on top of it. `host` is a digest of those settings of the host that show in what runs.
    `present=False` wants the namespace gone (law 3). `asleep` wants its containers stopped, and all else kept;
    from `expires_at` (Unix seconds; None: never) on it may be deleted. Neither makes another revision.
    """

    namespace: Namespace
    present: bool = True
    project: str = ""
    origin: Origin = NOBODY
    commit: str = ""
    tree: str = ""
    dirty: bool = False
    environment: str = "preview"
    values: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    reset_data: bool = False
    asleep: bool = False
    expires_at: float | None = None

    @property
    def revision(self) -> str:
        """12 hex digits that stand for everything which makes this deployment what it is."""
        facts = [RENDERING, self.project, self.tree, self.environment, sorted(self.values.items()), self.host]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]

    @property
    def cache_scope(self) -> str:
        """Whose builds share images and caches with this one's: those of one folder, or of one repository's own pull
        requests. What comes from elsewhere shares with itself only."""
        own = self.origin.kind in (OriginKind.FOLDER, OriginKind.REPOSITORY)
        return str(self.origin) if own else f"{self.origin} {self.namespace}"

    @property
    def version(self) -> str:
        """The commit for people: 8 characters, `+` behind it where the folder had changes of its own."""
        return (self.commit or self.tree)[:8] + ("+" if self.dirty else "")


@dataclass(frozen=True)
class Container:
    """One container as the engine has it. `state` as in Docker: created, running, exited, ...;
    `health` is "" without a health check; `data` is what a release, or what may end, ran on; `restarted` says that it
    has ended by itself and runs again, where anybody looked.

    `restart`: what the project says of its end, as in Blueprint, or "default"; "always" where an end is never well.
    `interrupted`: its end is none of its own (it was stopped, or has run so long that it is no job), where anybody
    looked. `young`: it has begun within the hour, and may have ended before.
    """

    id: str
    name: str
    service: str
    role: str
    revision: str
    state: str
    health: str = ""
    exit_code: int = 0
    data: str = ""
    image: str = ""
    restarted: bool = False
    restart: str = "always"
    interrupted: bool = False
    young: bool = False

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def stopped(self) -> bool:
        """Does nothing, and will not by itself."""
        return self.state in ("created", "exited", "dead")

    @property
    def starting(self) -> bool:
        """Running for the first time since somebody started it, and its health check has not said yet how it is."""
        first = self.role not in ("release", "job") and not self.restarted
        return first and self.running and self.health == "starting"

    @property
    def done(self) -> bool:
        """Ended with 0, as it may: there is nothing more for it to do."""
        may_end = self.role in ("release", "job") or (self.restart != "always" and not self.interrupted)
        return may_end and self.state == "exited" and self.exit_code == 0

    @property
    def well(self) -> bool:
        """Running and healthy; or done."""
        return self.done or (self.role not in ("release", "job") and self.running and self.health in ("", "healthy"))


def flaps(restarts: int, up_s: float, ready_s: float) -> bool:
    """A container has ended since its namespace was ready (`ready_s` ago), and has not stayed up (`up_s`) for as many
    minutes as it has ended, an hour at most: each further end takes longer to be forgotten."""
    return restarts > 0 and up_s < min(ready_s, 60.0 * restarts, 3600.0)


@dataclass(frozen=True)
class Clone:
    """A database of a namespace. `complete` means that its comment, written last, is there; `littered` that what
    somebody has left who died while copying it is there too."""

    source: str
    database: str
    complete: bool
    golden: str = ""
    created: str = ""
    way: Way = "pooler"
    littered: bool = False


@dataclass(frozen=True)
class Routed:
    """What the router answers for a namespace, as in Observed."""

    revision: str = ""
    candidate: bool = False
    asleep: bool = False


@dataclass(frozen=True)
class Observed:
    """All that there is of one namespace. Names as on the engine; networks and volumes map a name to its
    revision ("" for what outlives revisions); `route` is the revision that the router sends requests to
    ("" when none), `candidate` says that a route for probing is there, `asleep` that the router answers
    for it that it sleeps."""

    containers: tuple[Container, ...] = ()
    networks: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    clones: tuple[Clone, ...] = ()
    route: str = ""
    candidate: bool = False
    asleep: bool = False
    checkouts: tuple[str, ...] = ()

    def joined(self, clones: tuple[Clone, ...], routed: Routed, checkouts: tuple[str, ...] = ()) -> Observed:
        """What the engine has, with what the database servers, the router and the disk have of the namespace."""
        return replace(
            self,
            clones=clones,
            route=routed.revision,
            candidate=routed.candidate,
            asleep=routed.asleep,
            checkouts=checkouts,
        )

    def of(self, revision: str) -> tuple[Container, ...]:
        return tuple(one for one in self.containers if one.revision == revision)

    @property
    def revisions(self) -> tuple[str, ...]:
        """Every revision of which anything on the engine is left, in a stable order."""
        found = {one.revision for one in self.containers}
        return tuple(sorted((found | {*self.networks.values(), *self.volumes.values()}) - {""}))

    @property
    def data(self) -> str:
        """Stands for the very data that the clones hold: another after a reset."""
        stamps = sorted(f"{one.source}={one.created}" for one in self.clones if one.complete)
        return hashlib.sha256("\n".join(stamps).encode()).hexdigest()[:12]

    def leftovers(self) -> list[str]:
        """What is there, in words; empty when nothing is left."""
        words = [f"container {one.name}" for one in self.containers]
        words += [f"network {name}" for name in self.networks]
        words += [f"volume {name}" for name in self.volumes]
        words += [f"image {name}" for name in self.images]
        words += [f"database {one.database}" for one in self.clones]
        words += [f"checkout {name}" for name in self.checkouts]
        if self.route or self.candidate:
            words.append("route")
        return words


class Do(StrEnum):
    """What a step does. The value is what a person reads."""

    BUILD = "build"
    CLONE = "clone"
    RESET = "reset"
    LAY = "network and volumes"
    POOL = "poolers"
    CREATE = "create"
    PIN = "stateful services"
    RELEASE = "release"
    START = "start"
    OFFER = "trial route"
    AWAIT = "healthy"
    PROBE = "probe"
    STAY = "stay up"
    PUBLISH = "publish"
    REST = "route to sleep"
    SLEEP = "stop"
    WAKE = "wake"
    RETIRE = "retire"
    DROP = "drop database"
    WITHDRAW = "withdraw route"
    REMOVE = "remove"
    UNTAG = "remove image"
    FORGET = "forget"


@dataclass(frozen=True)
class Step:
    """`do` with `target`: a service to build, a database to clone, a revision to retire; "" for the whole."""

    do: Do
    target: str = ""

    def __str__(self) -> str:
        return f"{self.do} {self.target}".rstrip()

    @property
    def needs(self) -> tuple[Do, ...]:
        """What it waits for of the steps that stand before it in its stage."""
        match self.do:
            case Do.POOL:
                return (Do.CLONE, Do.RESET, Do.LAY)
            case Do.CREATE:
                return (Do.BUILD, Do.CLONE, Do.RESET, Do.LAY)
            case _:
                return ()


Stage = tuple[Step, ...]
"""Steps that may run side by side."""
