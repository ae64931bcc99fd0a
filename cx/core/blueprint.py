"""What one revision of a project consists of, after rendering and policy: the hand-over between
reading a project (render, policy) and running it (reconcile and the adapters)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cx.core.kinds import Way


@dataclass(frozen=True)
class Route:
    """One hostname: requests for `host` go to `service` at `port` (TCP, inside the namespace)."""

    service: str
    host: str
    port: int
    probe_path: str = "/"


@dataclass(frozen=True)
class Build:
    """An image to build. Paths are relative to the checkout, POSIX, already shown to stay inside it."""

    service: str
    context: str
    dockerfile: str
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""  # of all that goes in: names the image, so that an unchanged one is not built again
    fetches: bool = False  # whether ADD may have the engine fetch what a URL names


@dataclass(frozen=True)
class DatabaseUse:
    """A clone that the revision needs. The app reaches it as `alias`:`port` with these credentials.

    `database`, `user`, `password` are what the unchanged app expects (None: cx makes them up; "": none).
    With the way "volume" nothing is reached: `alias` is the volume, as in `Blueprint.volumes`, that the clone is.
    """

    name: str  # of the source in the host configuration: [databases.<name>]
    alias: str
    port: int = 5432
    database: str = "app"
    user: str = "app"
    password: str | None = None
    engine: str = "postgres"
    way: Way = "pooler"


@dataclass(frozen=True)
class Server:
    """A server for one clone alone: its Compose service, as in `Blueprint.pinned`, and a command that ends with 0
    inside it once it takes connections."""

    model: Mapping[str, Any]
    ready: tuple[str, ...]


@dataclass(frozen=True)
class Pooler:
    """What stands before one clone: its files by absolute path (secret), and what an app may be told of it,
    by kind (url, host, port, user, password, database).

    `server` is what runs in the place of a pooler, where the clone has a server of its own; `volumes` maps names
    in models to the engine's volumes that the clone consists of.
    """

    use: DatabaseUse
    files: Mapping[str, bytes] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    server: Server | None = None
    volumes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Release:
    """The command that runs once, before the start, in a container like `service`'s."""

    service: str
    command: tuple[str, ...]
    timeout_s: float = 600.0


@dataclass(frozen=True)
class Mounted:
    """A folder (or `file`) of the checkout that a service mounts: `path` relative to the checkout. `digest` stands for
    what a folder holds."""

    path: str
    file: bool = False
    digest: str = ""


@dataclass(frozen=True)
class Blueprint:
    """One revision, ready to run.

    `services` and `pinned` are Compose service mappings (the allow-listed subset of the Compose
    specification, nothing of the project's that did not pass the policy). `services` are started anew with
    each revision, beside the old ones; `pinned` keep their state in a volume and are updated in place.
    In them, three things are left open, for only the runner knows them:
      * `image: ""` for a service in `builds`;
      * volumes: `{"type": "volume", "source": NAME, "target": ...}` with NAME as in `volumes`, or
        `{"type": "volume", "source": "", "target": ..., "volume": {"subpath": P}}` for what comes from the checkout;
      * no `networks`, `labels`, `container_name`, `ports`, `logging`: the runner's.
    `restart` is "always", "no", "on-failure" or "on-failure:N"; none where the project does not say.
    Environment holds the project's values, with no variable left to interpolate; `database_env` adds to a
    service's: variable -> kind (url, host, port, user, password, database; `app.url` names the database).
    """

    services: Mapping[str, Mapping[str, Any]]
    pinned: Mapping[str, Mapping[str, Any]]
    routes: tuple[Route, ...]
    builds: tuple[Build, ...] = ()
    databases: tuple[DatabaseUse, ...] = ()
    database_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # service -> further names for it
    volumes: tuple[str, ...] = ()
    mounted: tuple[Mounted, ...] = ()
    release: Release | None = None
    start_timeout_s: float = 120.0
    stay_up_s: float = 3.0
    notes: tuple[str, ...] = ()  # what was dropped or replaced, for the user to read

    @property
    def lasting(self) -> bool:
        """Whether something of it outlives revisions: it has a network of its own."""
        return bool(self.pinned) or any(use.way == "server" for use in self.databases)


def jobs_of(services: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Services that another one of `services` waits for to complete: they are to end."""
    return {
        other
        for service in services.values()
        for other, need in (service.get("depends_on") or {}).items()
        if need.get("condition") == "service_completed_successfully"
    }
