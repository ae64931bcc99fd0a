"""What the server holds of this instance: one query, sorted into clones and goldens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg import sql

from cx.core.errors import Invalid
from cx.core.names import Names, Namespace, check_database
from cx.data import marks
from cx.data.marks import Mark
from cx.data.session import Session
from cx.data.shared import naming
from cx.data.values import Golden, ObservedClone, Snapshot, Spare

# One query and one answer: this is asked in the time that a deployment takes. A database whose drop was cut has the
# limit -2: all that can be done with it is to drop it, so that it is taken for half-made, whatever its comment says.
_LOOK = (
    "SELECT true, datname, CASE WHEN datconnlimit <> -2 THEN shobj_description(oid, 'pg_database') END, datallowconn"
    " FROM pg_database WHERE {database} UNION ALL"
    " SELECT false, rolname, shobj_description(oid, 'pg_authid'), false FROM pg_roles WHERE {role}"
)
_SIZE = "SELECT coalesce(pg_database_size(oid), 0) FROM pg_database WHERE datname = %s"


@dataclass(frozen=True)
class Found:
    """Databases and roles whose names begin as this instance's do: their marks, by name."""

    databases: Mapping[str, Mark | None]
    roles: Mapping[str, Mark | None]
    connectable: frozenset[str]


@dataclass
class _Pieces:
    """The parts of one clone that were found so far."""

    role: bool = False
    databases: set[str] = field(default_factory=set)


def look(connection: Session, names: Names, *prefixes: str) -> Found:
    """Everything of this instance; or what begins with one of `prefixes`."""
    return answered(names, connection.execute(query(names, *prefixes)).fetchall())


def query(names: Names, *prefixes: str) -> sql.Composed:
    """What `answered` reads the rows of."""
    wanted = prefixes or (f"{names.instance}_",)

    def begins(column: str) -> sql.Composed:
        name = sql.SQL("{}::text").format(sql.Identifier(column))
        each = [sql.SQL("starts_with({}, {})").format(name, sql.Literal(prefix)) for prefix in wanted]
        return sql.SQL("({})").format(sql.SQL(" OR ").join(each))

    return sql.SQL(_LOOK).format(database=begins("datname"), role=begins("rolname"))


def answered(names: Names, rows: Iterable[tuple[Any, ...]]) -> Found:
    databases: dict[str, Mark | None] = {}
    roles: dict[str, Mark | None] = {}
    connectable = set()
    for is_database, name, comment, connects in rows:
        (databases if is_database else roles)[name] = marks.read(names, comment)
        if connects:
            connectable.add(name)
    return Found(databases, roles, frozenset(connectable))


def size_bytes(connection: Session, database: str) -> int:
    row = connection.execute(_SIZE, [database]).fetchone()
    return int(row[0]) if row else 0


def clones(names: Names, found: Found) -> tuple[ObservedClone, ...]:
    """The clones in `found`, half-made ones too: those are known by their role's mark, or by their name."""
    pieces: dict[tuple[Namespace, str], _Pieces] = {}
    for name, mark in found.roles.items():
        if mark and mark.kind == marks.CLONE_ROLE and (owner := _owner(mark)):
            piece = pieces.setdefault(owner, _Pieces())
            piece.role = name == names.database(*owner)
            later = (naming.staging(name), naming.replaced(name))
            piece.databases.update(d for d in (name, *later) if d in found.databases)
            piece.databases.update(unfinished_snapshots(names, found, *owner))
    known = {name for piece in pieces.values() for name in piece.databases}
    for name, mark in found.databases.items():
        if name not in known and (owner := _owner(mark) if mark else _spelled(names, name)):
            pieces.setdefault(owner, _Pieces()).databases.add(name)
    for snapshot in snapshots(found):
        if (owner := (snapshot.namespace, snapshot.source)) not in pieces:  # they go with it
            pieces.setdefault(owner, _Pieces()).databases.add(snapshot.database)
    return tuple(_clone(names, found, owner, piece) for owner, piece in sorted(pieces.items()))


def _clone(names: Names, found: Found, owner: tuple[Namespace, str], piece: _Pieces) -> ObservedClone:
    namespace, source = owner
    database = names.database(namespace, source)
    mark = found.databases.get(database)
    leftovers = tuple(sorted(piece.databases - {database}))
    made = mark is not None and mark.kind == marks.CLONE and database in found.connectable
    return ObservedClone(
        namespace,
        source,
        database,
        complete=made and piece.role and not leftovers,
        golden=mark.text("golden") if mark else "",
        created_at=mark.moment("created") if mark else None,
        leftovers=leftovers,
        made=mark.text("made") if mark else "",
    )


def snapshots(found: Found) -> tuple[Snapshot, ...]:
    """The finished snapshots in `found`, the oldest of a namespace first."""
    made = []
    for database, mark in found.databases.items():
        created_at = mark.moment("created") if mark else None
        if mark and mark.kind == marks.SNAPSHOT and created_at and (owner := _checked_owner(mark)):
            made.append(Snapshot(*owner, mark.text("name"), database, created_at))
    return tuple(sorted(made, key=lambda one: (one.namespace, one.source, one.created_at)))


def unfinished_snapshots(names: Names, found: Found, namespace: Namespace, source: str) -> tuple[str, ...]:
    prefix = names.snapshot_prefix(namespace, source)
    return tuple(name for name, mark in found.databases.items() if mark is None and name.startswith(prefix))


def spares(found: Found) -> tuple[Spare, ...]:
    """The finished spares in `found`, the oldest first."""
    made = [
        Spare(mark.text("source"), name, mark.text("golden"), mark.moment("created") or datetime.fromtimestamp(0, UTC))
        for name, mark in found.databases.items()
        if mark and mark.kind == marks.SPARE
    ]
    return tuple(sorted(made, key=lambda one: (one.created_at, one.database)))


def _owner(mark: Mark) -> tuple[Namespace, str] | None:
    if mark.kind not in (marks.CLONE, marks.CLONE_ROLE):
        return None
    return _checked_owner(mark)


def _checked_owner(mark: Mark) -> tuple[Namespace, str] | None:
    return _checked(mark.text("namespace"), mark.text("source"))


def _spelled(names: Names, database: str) -> tuple[Namespace, str] | None:
    """Whose database this is by its name alone, as `Names.database` spells it where nothing was shortened."""
    parts = database.split("__")
    if parts[-1] in ("next", "last") and len(parts) == 4:
        parts.pop()
    if len(parts) != 3 or parts[0] != names.instance:
        return None
    owner = _checked(parts[1].replace("_", "-"), parts[2])
    return owner if owner and "__".join(parts) == names.database(*owner) else None


def _checked(namespace: str, source: str) -> tuple[Namespace, str] | None:
    try:
        return Namespace(namespace), check_database(source)
    except (Invalid, ValueError):
        return None


def goldens(names: Names, found: Found) -> tuple[Golden, ...]:
    """The finished goldens in `found`, the newest of a source first."""
    marked = ((name, mark) for name, mark in found.databases.items() if mark and mark.kind == marks.GOLDEN)
    made = (_golden(name, mark) for name, mark in marked)
    return tuple(sorted(made, key=lambda golden: (golden.source, golden.database), reverse=True))


def newest(finished: Iterable[Golden], source: str) -> Golden | None:
    """THE golden of `source`: names carry a rising stamp, so that the greatest is the newest."""
    return max((g for g in finished if g.source == source), key=lambda golden: golden.database, default=None)


def current(connection: Session, names: Names, source: str) -> Golden | None:
    """The golden that a clone of `source` would be made from."""
    return newest(goldens(names, look(connection, names, names.golden_prefix(source))), source)


def _golden(database: str, mark: Mark) -> Golden:
    settings = mark.facts.get("settings", {})
    notes, wal = mark.facts.get("notes", []), mark.facts.get("wal")
    return Golden(
        source=mark.text("source"),
        database=database,
        created_at=mark.moment("created") or datetime.fromtimestamp(0, UTC),
        size_bytes=mark.number("size_bytes"),
        sanitised_by=mark.text("sanitised_by"),
        server_version=mark.number("server_version"),
        source_version=mark.text("source_version"),
        settings=tuple((str(k), str(v)) for k, v in settings.items()) if isinstance(settings, dict) else (),
        files=mark.number("files"),
        strategy=mark.text("strategy"),
        filesystem=mark.text("filesystem"),
        notes=tuple(str(note) for note in notes) if isinstance(notes, list) else (),
        wal=(str(wal[0]), str(wal[1])) if isinstance(wal, list) and len(wal) == 2 else ("", ""),
    )
