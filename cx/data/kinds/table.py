"""The table of engines. A further engine is a file beside this one, and a case here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Protocol

from cx.core.blueprint import DatabaseUse
from cx.data.masking.auditing import Audit
from cx.data.masking.personal import Suspect
from cx.data.workbench.making import Making
from cx.data.workbench.values import Compared, Serving, Spec, Volume


class KindMasking(Protocol):
    """What a kind with rules of its own says about a source and its golden; nothing is changed by it."""

    def classify(self, making: Making) -> tuple[Suspect, ...]:
        """The source's columns that look personal and have no rule; nothing is left of what was read."""
        ...

    def audit(self, making: Making) -> Audit:
        """Whether values of the source's masked columns are in the golden of `making`. Raises Invalid: no rules."""
        ...


class EngineKind(Protocol):
    """One engine.

    `user` owns the files of a copy, as the server's image knows it ("": whoever owns them in the golden);
    `without_golden`: a copy may begin empty; `client` opens a copy inside its server's container, and `alive` ends
    with 0 there once connections are taken; `masking` is None where cx knows no rules.
    """

    user: str
    without_golden: bool

    @property
    def masking(self) -> KindMasking | None: ...
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
    """The engine `name` of cx.core.kinds. Only it is loaded: every command has an engine of one kind or none."""
    match name:
        case "postgres":
            from cx.data.kinds.postgres import Postgres

            return Postgres()
        case "mariadb" | "mysql":
            from cx.data.kinds.mariadb.kind import MariaDB
            from cx.data.masking.dialects.mariadb.dialect import MARIADB, MYSQL

            return MariaDB(MARIADB if name == "mariadb" else MYSQL)
        case "redis":
            from cx.data.kinds.redis import Redis

            return Redis()
        case "volume":
            from cx.data.kinds.files import Plain

            return Plain()
    raise ValueError(f"there is no engine {name}")
