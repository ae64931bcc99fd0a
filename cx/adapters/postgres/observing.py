"""What the server holds of this instance: one query, sorted into clones and goldens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cx.adapters.postgres import marks, naming
from cx.adapters.postgres.marks import Mark
from cx.adapters.postgres.server import Session
from cx.adapters.postgres.values import Golden, ObservedClone
from cx.errors import Invalid
from cx.model.names import Names, Namespace, check_database

_DATABASES = (
    "SELECT datname, shobj_description(oid, 'pg_database'), datallowconn AND datconnlimit <> -2"
    " FROM pg_database WHERE starts_with(datname::text, %s)"
)
_ROLES = "SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE starts_with(rolname::text, %s)"
_SIZE = "SELECT pg_database_size(oid) FROM pg_database WHERE datname = %s"


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


def look(connection: Session, names: Names, prefix: str | None = None) -> Found:
    """Everything of this instance; or what begins with `prefix`."""
    start = prefix or f"{names.instance}_"
    databases = connection.execute(_DATABASES, [start]).fetchall()
    roles = connection.execute(_ROLES, [start]).fetchall()
    return Found(
        {name: marks.read(names, comment) for name, comment, _ in databases},
        {name: marks.read(names, comment) for name, comment in roles},
        frozenset(name for name, _, connectable in databases if connectable),
    )


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
    known = {name for piece in pieces.values() for name in piece.databases}
    for name, mark in found.databases.items():
        if name not in known and (owner := _owner(mark) if mark else _spelled(names, name)):
            pieces.setdefault(owner, _Pieces()).databases.add(name)
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
    )


def _owner(mark: Mark) -> tuple[Namespace, str] | None:
    if mark.kind not in (marks.CLONE, marks.CLONE_ROLE):
        return None
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


def _golden(database: str, mark: Mark) -> Golden:
    settings = mark.facts.get("settings", {})
    notes = mark.facts.get("notes", [])
    return Golden(
        source=mark.text("source"),
        database=database,
        created_at=mark.moment("created") or datetime.fromtimestamp(0, UTC),
        size_bytes=mark.number("size_bytes"),
        sanitised_by=mark.text("sanitised_by"),
        server_version=mark.number("server_version"),
        source_version=mark.text("source_version"),
        settings=tuple((str(k), str(v)) for k, v in settings.items()) if isinstance(settings, dict) else (),
        notes=tuple(str(note) for note in notes) if isinstance(notes, list) else (),
    )
