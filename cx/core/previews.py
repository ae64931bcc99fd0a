"""What one does with previews, wherever their host is: `Previews`, and the values that it speaks in.

The host on this machine fulfils it (cx/host/previews.py), and so do one elsewhere (cx/host/remote.py) and one in memory
(cx/testing). The command line is written once, against this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cx.core.history import Deployment, StepTaken
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.ports import Reporter
from cx.core.source import Source
from cx.core.state import Desired


@dataclass(frozen=True)
class Row:
    """One namespace in a list. Times are Unix seconds; `services` is `running/all`; `url` is "" where none answers.
    `why` says what is not well, `restarts` how often services have been started again since they began."""

    namespace: str
    state: str
    version: str
    services: str
    databases: int
    deployed_at: float | None
    url: str
    expires_at: float | None = None
    why: str = ""
    restarts: int = 0


@dataclass(frozen=True)
class ServiceUse:
    """`memory_bytes` and `cpu` (percent of one core) as the engine measures them now. `restarts`: how often the engine
    has started it again since it began; `why` it ended last, as far as the engine knows, and what to do about it."""

    service: str
    role: str
    state: str
    revision: str
    memory_bytes: int
    cpu: float
    restarts: int = 0
    why: str = ""


@dataclass(frozen=True)
class DatabaseUse:
    source: str
    database: str
    size_bytes: int
    created_at: float | None


@dataclass(frozen=True)
class Detail:
    """All about one namespace. `deployments`: newest first."""

    namespace: str
    state: str
    version: str
    origin: str
    urls: list[str]
    services: list[ServiceUse]
    databases: list[DatabaseUse]
    deployments: list[Deployment]
    expires_at: float | None = None


@dataclass(frozen=True)
class History:
    """What was done to one namespace: attempts, newest first, and their steps, oldest first."""

    deployments: list[Deployment]
    steps: list[StepTaken]


@dataclass(frozen=True)
class LogLine:
    service: str
    text: str


@dataclass(frozen=True)
class Logs:
    """`services`: those that the lines are of, one for each container."""

    services: tuple[str, ...]
    lines: Iterator[LogLine]


@dataclass(frozen=True)
class Ending:
    """How a change ended: ready, awake, asleep, unchanged or deleted; where it answers; what the user should know."""

    outcome: str
    urls: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What a deployment is made of, beside the source. `take_over`: whoever owns the namespace loses it."""

    environment: str = "preview"
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    reset_data: bool = False
    take_over: bool = False


@dataclass(frozen=True)
class Told(Desired):
    """A wish as somebody else tells of it: its version and its revision are known, not what they are made of."""

    said_version: str = ""
    said_revision: str = ""

    @property
    def revision(self) -> str:
        return self.said_revision

    @property
    def version(self) -> str:
        return self.said_version


class Previews(Protocol):
    """All raise CxError: NotFound, Invalid, Busy, Owned and the failures of a deployment. What changes a namespace
    returns when the namespace is so, and tells `report` as it goes."""

    def overview(self) -> list[Row]: ...

    def detail(self, namespace: Namespace) -> Detail: ...

    def history(self, namespace: Namespace) -> History: ...

    def urls(self, namespace: Namespace) -> tuple[str, ...]:
        """Where it answers."""

    def there(self, namespace: Namespace) -> bool:
        """Somebody wants it, or something is left of it."""

    def owner(self, namespace: Namespace) -> Origin:
        """Whose it is; nobody's where nobody wants it."""

    def read(self, namespace: Namespace, path: Path, ref: str) -> Source:
        """The folder (or its commit `ref`) is with the host, to be deployed as `namespace`."""

    def deploy(self, namespace: Namespace, source: Source, wanted: Wanted, report: Reporter) -> Ending: ...

    def delete(self, namespace: Namespace, report: Reporter) -> Ending: ...

    def reset(self, namespace: Namespace, database: str, report: Reporter) -> Ending:
        """Fresh data. `database` is checked only: "" where there is one."""

    def sleep(self, namespace: Namespace, report: Reporter) -> Ending: ...

    def wake(self, namespace: Namespace, report: Reporter) -> Ending: ...

    def extend(self, namespace: Namespace, lasting_s: float | None) -> float | None:
        """Its end, in Unix seconds; None when it has none (any more)."""

    def logs(self, namespace: Namespace, service: str, *, follow: bool, tail: int) -> Logs: ...

    def interrupted(self) -> None:
        """This process is about to leave: the history says so of the change that it is at."""


class Served(Previews, Protocol):
    """What the API needs beside."""

    def receive(self, bundle: Path, namespace: Namespace) -> str:
        """The tree in the git bundle can be deployed as `namespace`. Raises Invalid, Terminal."""

    def uploaded(self, namespace: Namespace, tree: str, commit: str, dirty: bool) -> Source:
        """The tree that `receive` gave before. Raises Invalid, NotFound."""

    def ask(self, repository: str, number: int) -> int:
        """The pull request will be looked at; its position in the queue. Raises NotFound."""
