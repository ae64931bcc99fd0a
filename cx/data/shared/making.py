"""A clone is made or replaced: role, copy, rights, and last of all its mark."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import psycopg
from psycopg import errors, sql

from cx.core.names import Names, Namespace
from cx.data import marks
from cx.data.errors import BudgetSpent, GoldenMissing, GoldenTooOld
from cx.data.session import Session, script, session, statement
from cx.data.shared import naming, observing, opening
from cx.data.shared.copying import check_room, copy
from cx.data.shared.dropping import allow, cut, drop_database
from cx.data.shared.held import Held, serves
from cx.data.shared.observing import Found
from cx.data.values import Checkpoint, Clone, Golden, Server, Terms

_GOLDEN_ATTEMPTS = 5
_DAY_S = 86400
_OWNED = """
SELECT FROM pg_shdepend AS s JOIN pg_database AS d ON d.oid = s.dbid JOIN pg_roles AS r ON r.oid = s.refobjid
WHERE s.refclassid = 'pg_authid'::regclass AND d.datname = %s AND r.rolname = %s LIMIT 1"""


@dataclass(frozen=True)
class Template:
    """What a copy is made from: `origin` is the golden that its data began as."""

    database: str
    origin: str
    settings: tuple[tuple[str, str], ...]
    strategy: str
    filesystem: str


@dataclass(frozen=True)
class Making:
    """Makes clones on `server`; `new` are those that it has made. Each method takes a clone that the caller holds."""

    server: Server
    names: Names
    key: bytes = field(repr=False)
    checkpoint: Checkpoint
    new: list[Clone] = field(default_factory=list, init=False)

    def finished(self, held: Held) -> Clone | None:
        mark = held.found.databases.get(held.database)
        created_at = mark.moment("created") if mark else None
        if mark is None or mark.kind != marks.CLONE or created_at is None or held.database not in held.found.roles:
            return None
        if held.database not in held.found.connectable:  # a reset died after the connections were cut
            held.connection.execute(allow(held.database))
        return Clone(
            held.namespace, held.source, held.database, mark.text("golden"), created_at, made=mark.text("made")
        )

    def stale(self, held: Held, terms: Terms) -> bool:
        mark = held.found.roles[held.database]
        wanted = (naming.key_id(self.key), terms.connection_limit, terms.statement_timeout_s)
        return mark is None or (mark.text("key"), mark.number("limit"), mark.number("timeout")) != wanted

    def role(self, held: Held, terms: Terms) -> list[sql.Composable]:
        exists = held.database in held.found.roles
        return opening.role(self.names, self.key, held.owner, terms, exists=exists)

    def run(self, connection: Session, *statements: sql.Composable) -> None:
        """The statements in one round trip and one transaction."""
        try:
            connection.execute(script(*statements))
        except psycopg.Error as exc:
            if exc.sqlstate == opening.NO_BUDGET:
                raise BudgetSpent(
                    f"the database server has no connections left: {exc.diag.message_primary}",
                    remedy="delete previews, or raise postgres.max_connections",
                ) from exc
            raise

    def made(self, held: Held, terms: Terms) -> Clone:
        """The clone is a new one of the newest golden: a spare where there is one, else a copy."""
        for _ in range(_GOLDEN_ATTEMPTS):
            golden = self._golden(held, terms)
            template = Template(
                golden.database,
                golden.database,
                golden.settings,
                terms.strategy or golden.strategy,
                golden.filesystem,
            )
            spare = next((one for one in observing.spares(held.found) if one.golden == golden.database), None)
            try:
                if spare:
                    return self.put(held, template, spare.database, terms, made="spare")
                check_room(held.connection, template.database, template.strategy)
                self.run(
                    held.connection,
                    statement("SET LOCAL synchronous_commit = off"),  # the copy's WAL comes after it, and is flushed
                    *self.role(held, terms),
                    opening.budget(self.names, held.database, terms, apply=False),
                )
                self.checkpoint("clone:role")
                new = naming.staging(held.database) if serves(held) else held.database
                by = self.copied(held, template, new)
                self.checkpoint("clone:copied")
                return self.put(held, template, new, terms, made=by)
            except errors.UndefinedObject as exc:  # the owner comes with the first golden
                raise GoldenMissing(held.source) from exc
            except errors.InvalidCatalogName:  # a refresh has replaced the golden, or somebody took the spare
                held = self._looked_again(held)
        raise GoldenMissing(held.source)

    def _looked_again(self, held: Held) -> Held:
        """With the goldens, the spares and the role that there are by now."""
        prefixes = (self.names.golden_prefix(held.source), self.names.spare_prefix(held.source))
        found = observing.look(held.connection, self.names, *prefixes, held.database)
        rest = {name: mark for name, mark in held.found.databases.items() if not name.startswith(prefixes)}
        fresh = {name: mark for name, mark in found.databases.items() if name.startswith(prefixes)}
        roles = {name: mark for name, mark in found.roles.items() if name == held.database}
        return replace(held, found=Found({**rest, **fresh}, roles, found.connectable))

    def _golden(self, held: Held, terms: Terms) -> Golden:
        golden = observing.newest(observing.goldens(self.names, held.found), held.source)
        if golden is None:
            raise GoldenMissing(held.source)
        age_s = (datetime.now(UTC) - golden.created_at).total_seconds()
        if terms.max_age_s and age_s > terms.max_age_s:
            raise GoldenTooOld(
                f"the golden of {held.source} is {age_s / _DAY_S:.1f} days old,"
                f" databases.{held.source}.max_age_h allows {terms.max_age_s / _DAY_S:.1f}",
                remedy=f"cx db refresh {held.source}",
            )
        return golden

    def copied(
        self, held: Held, template: Template, database: str, *, closing: bool = False, disown: bool = False
    ) -> str:
        """`database` is a copy of the template; with `closing` the template is `held`, and serves again."""
        try:
            if closing:
                cut(self.server, held.connection, template.database, self.checkpoint)
            by = copy(
                held.connection,
                template.database,
                database,
                by=template.strategy,
                filesystem=template.filesystem,
                owner=self.server.user,
            )
        finally:
            if closing and not held.connection.closed:
                held.connection.execute(allow(template.database))
        if disown:
            self._disown(held, database)
        if closing:
            self.checkpoint("snapshot:copied")
        return by

    def _disown(self, held: Held, database: str) -> None:
        """What the role of `held` made in its own name is the objects' owner's in the copy: the role may go."""
        owned = held.connection.execute(_OWNED, [database, held.database]).fetchone()
        if owned is None:
            return
        parts = {"role": sql.Identifier(held.database), "owner": sql.Identifier(self.names.golden_owner(held.source))}
        held.connection.execute(allow(database))
        with session(self.server, database) as inside:
            inside.execute(
                script(
                    statement("REASSIGN OWNED BY {role} TO {owner}", **parts),
                    statement("DROP OWNED BY {role}", **parts),
                    # That took what is granted to it everywhere, its own database among it.
                    statement("GRANT CONNECT ON DATABASE {role} TO {role}", **parts),
                )
            )
        held.connection.execute(
            statement("ALTER DATABASE {name} ALLOW_CONNECTIONS false", name=sql.Identifier(database))
        )

    def put(self, held: Held, template: Template, new: str, terms: Terms, *, made: str) -> Clone:
        """`new` takes the clone's place, in one transaction: role, name, rights, and last of all the mark."""
        database = held.database
        replacing = serves(held)
        clone = Clone(held.namespace, held.source, database, template.origin, datetime.now(UTC), made)
        mark = self.mark(marks.CLONE, held, clone.created_at, golden=template.origin, made=made)
        parts = {
            "database": sql.Identifier(database),
            "new": sql.Identifier(new),
            "old": sql.Identifier(naming.replaced(database)),
        }
        statements: list[sql.Composable] = []
        if made == "spare":
            statements += self.role(held, terms)
        if replacing:
            statements += [
                statement("ALTER DATABASE {database} RENAME TO {old}", **parts),
                statement("ALTER DATABASE {old} CONNECTION LIMIT -1", **parts),  # no longer counted
                statement("COMMENT ON DATABASE {old} IS NULL", **parts),
            ]
        if new != database:
            statements.append(statement("ALTER DATABASE {new} RENAME TO {database}", **parts))
        if made != "spare":
            statements += opening.prepared(database, template.settings)
        statements += opening.opened(self.names, held.owner, terms, mark)
        if replacing:
            cut(self.server, held.connection, database, self.checkpoint)
        try:
            self.run(held.connection, *statements)
        except BaseException:
            with suppress(psycopg.Error):  # the error is what is raised below
                if replacing and not held.connection.closed:
                    held.connection.execute(allow(database))
            raise
        self.checkpoint("clone:open")
        self.new.append(clone)
        return clone

    def replaced_by(self, held: Held, template: Template, terms: Terms) -> Clone:
        check_room(held.connection, template.database, template.strategy)
        self.run(held.connection, *self.role(held, terms))
        staging = naming.staging(held.database)
        by = self.copied(held, template, staging)
        self.checkpoint("clone:copied")
        clone = self.put(held, template, staging, terms, made=by)
        self.drop_replaced(held)
        return clone

    def drop_replaced(self, held: Held) -> None:
        if serves(held):
            drop_database(self.server, held.connection, naming.replaced(held.database))

    def template(self, held: Held, of: Namespace, other: Held | None = None) -> Template:
        """The clone of `of`, as it is, to copy from. Raises GoldenMissing where it is not there."""
        from_ = other or held
        clone = self.finished(from_)
        if clone is None:
            raise GoldenMissing(
                from_.source, f"{of} has no database {from_.source}", "`cx db list` shows what there is"
            )
        settings = opening.settings_of(from_.connection, from_.database)
        return Template(from_.database, clone.golden, settings, *self.way(from_))

    def way(self, held: Held) -> tuple[str, str]:
        """How a clone is copied: as its source's golden is."""
        golden = observing.newest(observing.goldens(self.names, held.found), held.source)
        return (golden.strategy, golden.filesystem) if golden else ("", "")

    def mark(self, kind: str, held: Held, created_at: datetime, **facts: object) -> str:
        return marks.written(
            self.names,
            kind,
            namespace=held.namespace.name,
            source=held.source,
            created=created_at.isoformat(),
            **facts,
        )
