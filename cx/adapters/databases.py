"""The core's databases, filled by PostgreSQL: clones by source's name, and a pooler in front of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from cx.adapters.postgres.naming import role_password
from cx.adapters.postgres.pooler import pooler_files
from cx.adapters.postgres.values import Terms
from cx.errors import NotFound, Retryable
from cx.model.blueprint import DatabaseUse, Pooler
from cx.model.names import Namespace
from cx.model.state import Clone

if TYPE_CHECKING:
    from cx.adapters.postgres.clones import PostgresClones


@dataclass(frozen=True)
class Databases:
    """`terms` of each source of the host configuration."""

    postgres: PostgresClones
    terms: Mapping[str, Terms]
    password_key: bytes
    pool_mode: str = "session"

    def observe(self, namespace: Namespace) -> tuple[Clone, ...]:
        return tuple(
            Clone(
                one.source,
                one.database,
                one.complete,
                one.golden,
                one.created_at.isoformat() if one.created_at else "",
            )
            for one in self.postgres.observe(namespace)
        )

    def clone(self, namespace: Namespace, source: str) -> None:
        self.postgres.clone(namespace, source, self._terms(source))

    def reset(self, namespace: Namespace, source: str) -> None:
        self.postgres.reset(namespace, source, self._terms(source))

    def drop(self, namespace: Namespace, source: str) -> None:
        self.postgres.drop(namespace, source)

    def pooler(self, namespace: Namespace, use: DatabaseUse) -> Pooler:
        """The pooler's files, and what the app's environment may say of it."""
        found = next((one for one in self.postgres.observe(namespace) if one.source == use.name), None)
        if found is None or not found.complete:
            raise Retryable(f"{namespace}: its database {use.name} is gone", remedy="deploy again")
        password = use.password
        if password is None:
            password = role_password(self.password_key, f"app of {found.database}")
        connection = self.postgres.connection(found)
        files = pooler_files(
            use, connection, pool_size=self._terms(use.name).connection_limit, password=password, mode=self.pool_mode
        )
        return Pooler(use, files, variables(use, password))

    def _terms(self, source: str) -> Terms:
        try:
            return self.terms[source]
        except KeyError:
            raise NotFound(
                f"database {source} is not in the host configuration", remedy=f"add [databases.{source}]"
            ) from None


def variables(use: DatabaseUse, password: str) -> dict[str, str]:
    """What a service may be told of its database, by kind."""
    user, database = quote(use.user, safe=""), quote(use.database, safe="")
    return {
        "url": f"postgresql://{user}:{quote(password, safe='')}@{use.alias}:{use.port}/{database}",
        "host": use.alias,
        "port": str(use.port),
        "user": use.user,
        "password": password,
        "database": use.database,
    }
