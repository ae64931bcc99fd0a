"""The core's databases: clones on the previews' PostgreSQL server, with a pooler in front of each; and clones that are
volumes, with a server of their own or without. By the source's name, as the host configuration says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from cx.core.blueprint import DatabaseUse, Pooler
from cx.core.errors import CxError, NotFound, Retryable
from cx.core.kinds import ENGINES
from cx.core.names import Namespace
from cx.core.state import Clone
from cx.data.errors import ServerRefused, ServerUnavailable
from cx.data.shared.naming import role_password
from cx.data.shared.pooler import pooler_files
from cx.data.values import Terms

if TYPE_CHECKING:
    from cx.data.shared.clones import PostgresClones
    from cx.data.values import ObservedClone
    from cx.data.volumes.clones import EngineClones


@dataclass(frozen=True)
class Databases:
    """`terms` of each source whose clones are on the previews' server; `engines` has those of the others."""

    postgres: PostgresClones
    terms: Mapping[str, Terms]
    password_key: bytes
    pool_mode: str = "session"
    engines: EngineClones | None = None
    lost: Callable[[], bool] = lambda: False  # the server's data is known to be gone, and all clones on it

    def observe(self, namespace: Namespace) -> tuple[Clone, ...]:
        clones, silent = self.reachable(namespace)
        if silent:
            raise silent
        return clones

    def reachable(self, namespace: Namespace) -> tuple[tuple[Clone, ...], CxError | None]:
        seen, silent = self._heard(lambda: self.postgres.observe(namespace))
        own = self.engines.observe(namespace) if self.engines else ()
        return (*map(self._shared, seen), *map(self._apart, own)), silent

    def _heard(self, look: Callable[[], tuple[ObservedClone, ...]]) -> tuple[tuple[ObservedClone, ...], CxError | None]:
        """What the server says; or why it says nothing, unless its data is gone."""
        try:
            return look(), None
        except (ServerUnavailable, ServerRefused) as exc:
            return (), None if self.lost() else exc

    def all_reachable(self) -> tuple[dict[str, tuple[Clone, ...]], CxError | None]:
        """As `reachable`, of every namespace that has a clone, by name: one listing of each server."""
        found: dict[str, list[Clone]] = {}
        seen, silent = self._heard(self.postgres.observe_all)
        for shared in seen:
            found.setdefault(shared.namespace.name, []).append(self._shared(shared))
        for shown, own in self.engines.observe_all() if self.engines else ():
            found.setdefault(shown.namespace.name, []).append(self._apart(own))
        return {name: tuple(clones) for name, clones in found.items()}, silent

    def _shared(self, one: ObservedClone) -> Clone:
        """Not complete where the host says otherwise of its source by now: to be replaced."""
        created = one.created_at.isoformat() if one.created_at else ""
        return Clone(one.source, one.database, one.complete and not self._own(one.source), one.golden, created)

    def _apart(self, one: Clone) -> Clone:
        return replace(one, complete=one.complete and one.source not in self.terms)

    def clone(self, namespace: Namespace, source: str) -> None:
        if engines := self._own(source):
            self._drop_shared(namespace, source)
            engines.clone(namespace, source)
        else:
            terms = self._terms(source)
            self._drop_own(namespace, source)
            self.postgres.clone(namespace, source, terms)

    def reset(self, namespace: Namespace, source: str) -> None:
        if engines := self._own(source):
            self._drop_shared(namespace, source)
            engines.reset(namespace, source)
        else:
            terms = self._terms(source)
            self._drop_own(namespace, source)
            self.postgres.reset(namespace, source, terms)

    def drop(self, namespace: Namespace, source: str) -> None:
        """Nothing is left of the clone. A server that does not answer has none of what is a volume by now."""
        self._drop_own(namespace, source)
        if not self._own(source):
            self.postgres.drop(namespace, source)
            return
        with suppress(ServerUnavailable, ServerRefused):
            self._drop_shared(namespace, source)

    def _own(self, source: str) -> EngineClones | None:
        """Who has the clones of `source`, where they are no databases of the previews' server."""
        return self.engines if self.engines and source in self.engines.specs else None

    def _drop_own(self, namespace: Namespace, source: str) -> None:
        if self.engines and any(one.source == source for one in self.engines.observe(namespace)):
            self.engines.drop(namespace, source)

    def _drop_shared(self, namespace: Namespace, source: str) -> None:
        if any(one.source == source for one in self.postgres.observe(namespace)):
            self.postgres.drop(namespace, source)

    def pooler(self, namespace: Namespace, use: DatabaseUse) -> Pooler:
        """What runs before the clone or on it, and what the app's environment may say of it."""
        if engines := self._own(use.name):
            return engines.pooler(namespace, use, variables(use, engines.password(namespace, use)))
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
    url = ENGINES[use.engine].url
    if not password:  # a Redis without one
        url = url.replace("default:{password}@", "")
    fields = {"user": user, "password": quote(password, safe=""), "host": use.alias, "port": use.port}
    return {
        "url": url.format(**fields, database=database),
        "host": use.alias,
        "port": str(use.port),
        "user": use.user,
        "password": password,
        "database": use.database,
    }
