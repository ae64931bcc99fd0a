"""What goes into and comes out of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from re import Pattern

from cx.core.errors import Terminal
from cx.core.kinds import EngineFacts, Way
from cx.core.names import Namespace
from cx.data.values import Masks

DATA = "/cx-data"  # where a server finds its copy
GOLDEN_SERVER = "golden-server"  # the role of the server that a golden is filled through
GOLDEN = "/golden"  # where what fills a golden finds it; the data are in `data` below it


# Called at named points between two effects; and with a line for a person.
Said = Callable[[str], None]


def nobody(_text: str) -> None:
    """Nothing happens."""


class FillFailed(Terminal):
    """A golden could not be made: the old one serves."""


@dataclass(frozen=True)
class Spec:
    """One source of the host configuration. `memory` as Docker spells it; `fill` fills the golden at `target`."""

    name: str
    facts: EngineFacts
    way: Way
    image: str
    memory: str = "512m"
    url: str | None = field(default=None, repr=False)
    file: Path | None = None
    sanitise: Path | None = None
    extensions: tuple[str, ...] = ()
    jobs: int = 2
    connection_limit: int = 20
    statement_timeout_s: int = 0
    max_age_s: int = 0
    database: str = ""
    preload: tuple[str, ...] = ()
    superuser: bool = False
    fill: tuple[str, ...] = ()
    target: str = GOLDEN
    masks: Masks | None = None
    command: tuple[str, ...] = ()
    command_image: str = ""


@dataclass(frozen=True)
class Volume:
    """A golden, a clone or a snapshot as its labels say; half-made without `created_at`.

    `golden` is the one that a clone's or a snapshot's data began as, `snapshot` the name that people gave.
    `facts` are what its maker wrote down for whoever runs it.
    """

    name: str
    source: str
    role: str
    way: Way
    namespace: Namespace | None = None
    golden: str = ""
    created_at: datetime | None = None
    size_bytes: int = 0
    sanitised_by: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    snapshot: str = ""

    @property
    def complete(self) -> bool:
        return self.created_at is not None


@dataclass(frozen=True)
class Compared:
    """How the data of two copies are compared. `serve` runs a server on a copy, with `files`, for what follows only.
    In the server's container `schema` and `counts` write to standard output: SQL, and a table, a tab and its rows in
    each line. `noise` is what of the SQL says nothing."""

    serve: str
    schema: tuple[str, ...]
    counts: tuple[str, ...]
    noise: Pattern[str]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Serving:
    """`files` by absolute path; `script` runs the server in the foreground; `ready` ends with 0 inside the container
    once connections are taken."""

    script: str
    ready: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
