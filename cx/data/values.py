"""What goes into and comes out of this package. Nothing heavy is imported here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cx.core.names import Namespace
from cx.settings.masking import Masked, Rows

# Called at named points between two effects; tests kill the process there.
Checkpoint = Callable[[str], None]
# Called with one line for a person.
Progress = Callable[[str], None]


def nowhere(_point: str) -> None:
    """The checkpoint, and the progress, of production: nothing happens."""


@dataclass(frozen=True)
class Server:
    """The previews' PostgreSQL server and its superuser, as cx reaches it.

    `fault` is asked when no connection is made: why its container is to blame, or "".
    """

    host: str
    port: int
    password: str = field(repr=False)
    user: str = "cx"
    database: str = "postgres"
    fault: Callable[[], str] = field(default=lambda: "", repr=False, compare=False)


@dataclass(frozen=True)
class Connection:
    """How one clone is reached by its own role."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Terms:
    """What holds for the clones of one source. `strategy`: as in `strategy.STRATEGIES`; "" as the golden says.

    A golden older than `max_age_s` (0: any age will do) is not cloned from any more.
    """

    connection_limit: int = 20
    statement_timeout_s: int = 0
    strategy: str = ""
    max_age_s: int = 0
    spares: int = 0


@dataclass(frozen=True)
class Clone:
    """A finished clone: `database` on the server, and the role of the same name that may connect to it."""

    namespace: Namespace
    source: str
    database: str
    golden: str
    created_at: datetime
    made: str = ""  # by which strategy, or "spare"


@dataclass(frozen=True)
class Spare:
    """A finished clone of `golden` that waits for a namespace; nobody can connect to it."""

    source: str
    database: str
    golden: str
    created_at: datetime


@dataclass(frozen=True)
class Snapshot:
    """What a namespace's clone held at one moment."""

    namespace: Namespace
    source: str
    name: str
    database: str
    created_at: datetime
    size_bytes: int | None = None


@dataclass(frozen=True)
class ObservedClone:
    """What the server says of one clone.

    `complete` is False for a half-made one, and for one with `leftovers` of a reset that was cut:
    `clone` again puts either right. `size_bytes` is filled where it was asked for.
    """

    namespace: Namespace
    source: str
    database: str
    complete: bool
    golden: str = ""
    created_at: datetime | None = None
    leftovers: tuple[str, ...] = ()
    size_bytes: int | None = None
    made: str = ""


@dataclass(frozen=True)
class Masks:
    """Rules for a source's rows: `columns` by table and column, `rows` by table; tables as the configuration has them.

    The same `key` makes the same fakes.
    """

    columns: Mapping[str, Mapping[str, Masked]]
    rows: Mapping[str, Rows]
    key: bytes = field(repr=False)
    large_objects: bool = False

    @property
    def key_hex(self) -> str:
        return hashlib.sha256(b"cx masking " + self.key).hexdigest()

    @property
    def digest(self) -> str:
        """Tells whether the rules are the same, and nothing about the key."""
        shown = repr((sorted((t, sorted(c.items())) for t, c in self.columns.items()), sorted(self.rows.items())))
        return hashlib.sha256(shown.encode()).hexdigest()


@dataclass(frozen=True)
class Source:
    """The database that is cloned from: a live server by `url`, or a dump by `file`; one of both.

    `masks` hold on the way to the previews' server; `sanitise` is an SQL script that runs before anything reaches it.
    `command`, in a container of `command_image`, makes a sanitised dump instead of us. `extensions` may be
    installed although PostgreSQL does not trust them. `jobs` connections read and write side by side.
    """

    name: str
    url: str | None = field(default=None, repr=False)
    file: Path | None = None
    sanitise: Path | None = None
    extensions: tuple[str, ...] = ()
    jobs: int = 2
    masks: Masks | None = None
    command: tuple[str, ...] = ()
    command_image: str = ""


@dataclass(frozen=True)
class Golden:
    """The template of a source. `database` names it on the server; times are UTC."""

    source: str
    database: str
    created_at: datetime
    size_bytes: int
    sanitised_by: str = ""  # SHA-256 of the rules, the script or the command; empty: none was set
    server_version: int = 0  # as server_version_num
    source_version: str = ""
    settings: tuple[tuple[str, str], ...] = ()  # of the source's database, set on each clone
    files: int = 0
    strategy: str = ""  # by which it is cloned, as chosen when it was made
    filesystem: str = ""  # that it lies on
    notes: tuple[str, ...] = ()  # what was left out or replaced on the way, for the user to read
    wal: tuple[str, str] = ("", "")  # the stretch of the server's WAL that it was made in, where rules were
