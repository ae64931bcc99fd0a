"""The table of engines. A further engine is a file beside this one, and a case here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Protocol

from cx.adapters.engines.making import Making
from cx.adapters.engines.values import Compared, Serving, Spec, Volume
from cx.model.blueprint import DatabaseUse


class EngineKind(Protocol):
    """One engine.

    `user` owns the files of a copy, as the server's image knows it ("": whoever owns them in the golden);
    `without_golden`: a copy may begin empty; `client` opens a copy inside its server's container, and `alive` ends
    with 0 there once connections are taken.
    """

    user: str
    without_golden: bool

    @property
    def client(self) -> tuple[str, ...]: ...
    @property
    def alive(self) -> tuple[str, ...]: ...

    def fill(self, making: Making) -> Mapping[str, str]:
        """The golden has its data, sanitised, and nothing runs on it. Gives what `serve` needs to know of it."""
        ...

    def serve(self, spec: Spec, use: DatabaseUse, password: str, copy: Volume) -> Serving | None:
        """How a server runs on a copy, with the user and password of `use`; None: the project's own services do."""
        ...

    def dump(self, copy: Volume) -> Sequence[str]:
        """The command in the server's container that writes a dump to its standard output; none: a tar is the dump."""
        ...

    def compared(self, spec: Spec, copy: Volume) -> Compared | None:
        """How copies are compared; None: they cannot be."""
        ...


@cache
def kind_of(name: str) -> EngineKind:
    """The engine `name` of cx.model.engines. Only it is loaded: every command has an engine of one kind or none."""
    match name:
        case "postgres":
            from cx.adapters.engines.postgres import Postgres

            return Postgres()
        case "mariadb" | "mysql":
            from cx.adapters.engines.mariadb import MARIADB, MYSQL, MariaDB

            return MariaDB(MARIADB if name == "mariadb" else MYSQL)
        case "redis":
            from cx.adapters.engines.redis import Redis

            return Redis()
        case "volume":
            from cx.adapters.engines.plain import Plain

            return Plain()
    raise ValueError(f"there is no engine {name}")
