"""The table of engines. A further engine is a file beside this one, and a line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from cx.adapters.engines import mariadb, plain, postgres, redis
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


KINDS: Mapping[str, EngineKind] = {
    "postgres": postgres.Postgres(),
    "mariadb": mariadb.MariaDB(mariadb.MARIADB),
    "mysql": mariadb.MariaDB(mariadb.MYSQL),
    "redis": redis.Redis(),
    "volume": plain.Plain(),
}
