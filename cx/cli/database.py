"""Commands of databases: goldens of the host's sources, clones of namespaces."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cx.cli.namespaces import RemoteOption
from cx.cli.output import ForceOption, JsonOption, ago, as_json, confirm, printable, size, table
from cx.errors import CxError, Invalid, NotFound, Terminal
from cx.model.names import Namespace, shown

if TYPE_CHECKING:
    from cx.adapters.postgres.values import Golden
    from cx.wiring import Host

db = typer.Typer(help="Goldens and clones of databases.", no_args_is_help=True, rich_markup_mode=None)

NamespaceArgument = Annotated[str, typer.Argument(metavar="NAMESPACE", autocompletion=lambda: _complete())]
NameArgument = Annotated[str, typer.Argument(metavar="[DATABASE]", help="Where a namespace has several.")]

SnapshotArgument = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Its name.")]


def _complete() -> list[str]:
    from cx.cli.namespaces import complete

    return complete()


@db.command()
def refresh(
    database: Annotated[
        str, typer.Argument(metavar="[SOURCE]", help="A source of the host configuration: [databases.NAME].")
    ] = "",
    schedule: Annotated[
        bool, typer.Option("--schedule", help="Every source that is due: databases.NAME.refresh_every_h. For a timer.")
    ] = False,
) -> None:
    """Make a new golden of a source; the old one serves until then. A failed refresh changes nothing."""
    from cx import wiring

    if bool(database) == schedule:
        raise Invalid("SOURCE", "", "name one, or say --schedule")
    with wiring.open_host() as host:
        if not schedule:
            _refresh(host, database)
            return
        failed: list[str] = []
        for name in due(host):
            try:
                _refresh(host, name)
            except CxError as exc:  # the others are due all the same
                _aside(f"{name}: {exc}")
                failed.append(name)
        if failed:
            raise Terminal(f"not refreshed: {', '.join(failed)}; the old goldens serve", remedy="`cx db list`")


def due(host: Host) -> list[str]:
    """The sources without a golden, or with one that is older than refresh_every_h, where that is set."""
    made = {one.source: one.created_at.timestamp() for one in host.goldens.list()}
    made |= {one.source: one.created_at.timestamp() for one in host.engine_goldens.list() if one.created_at}
    now = time.time()
    return [
        name
        for name, given in sorted(host.settings.databases.items())
        if given.refresh_every_h and made.get(name, 0) + given.refresh_every_h * 3600 <= now
    ]


def _refresh(host: Host, database: str) -> None:
    if spec := host.specs.get(database):
        made = host.engine_goldens.refresh(spec, progress=_said)
        if note := made.facts.get("notes"):
            _said(f"note: {note}")
        if not made.sanitised_by:
            print(f"note: nothing of cx's sanitised {database}: previews see the data as it is in the source")
        print(f"{database}: golden {made.name} with {size(made.size_bytes)} is ready")
        return
    golden = host.goldens.refresh(host.source(database), progress=_said)
    for note in golden.notes:
        _said(f"note: {note}")
    if not golden.sanitised_by:
        print(f"note: databases.{database}.sanitise is not set: previews see the data as it is in the source")
    print(f"{database}: golden {golden.database} with {size(golden.size_bytes)} is ready")
    host.refill_later()


SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A source of the host configuration: [databases.NAME].")
]


@db.command()
def classify(database: SourceArgument, json: JsonOption = False) -> None:
    """Look at a source for columns that look personal and have no rule, and propose rules as TOML."""
    from cx import wiring
    from cx.adapters.masking.personal import proposal
    from cx.model.engines import POSTGRES

    with wiring.open_host() as host:
        spec = host.specs.get(database)
        if spec and spec.facts is not POSTGRES:
            found = host.engine_goldens.classify(spec, progress=_aside)
        else:
            found = host.goldens.classify(host.source(database), progress=_aside)
    if json:
        as_json([{"column": one.said, "type": one.column.type, "why": one.why, "rule": one.rule} for one in found])
    elif found:
        print("\n".join(printable(line) for line in proposal(database, found).splitlines()))
    else:
        _aside(f"{database}: every column that looks personal has a rule")


@db.command()
def audit(database: SourceArgument, json: JsonOption = False) -> None:
    """Prove on a golden, its files, rows, statistics and logs that no value of the masked columns is in it."""
    from cx import wiring
    from cx.model.engines import POSTGRES

    with wiring.open_host() as host:
        spec = host.specs.get(database)
        if spec and spec.facts is POSTGRES:
            raise Invalid(database, "", "has no golden on the previews' server: each refresh scans its own")
        if spec:
            found = host.engine_goldens.audit(spec, progress=_aside)
        else:
            source = host.source(database)
            with host.spares.borrowed(database, host.terms[database]) as copy:
                found = host.goldens.audit(source, copy, progress=_aside)
    if json:
        as_json({"clean": found.clean, **asdict(found)})
    else:
        rows = [[printable(one.column), str(one.values), str(one.found)] for one in found.compared]
        table(["column", "values in source", "of them in golden"], rows, "no masked column holds text")
        print(f"canaries looked for in files, statistics, logs and rows: {found.canaries}")
        if not found.same_rules:
            print("note: the rules have changed since this golden was made")
    if not found.clean:
        said = [str(one) for one in (found.in_files, found.in_rows) if one]
        said += [f"{one.found} values of {one.column} are there" for one in found.compared if one.found]
        raise Terminal(f"golden {found.golden} is not clean: {'; '.join(said)}", remedy=f"cx db refresh {database}")


def _said(text: str) -> None:
    """A line that may hold names of a dump's, which are whatever its author likes."""
    print(printable(text), flush=True)


def _aside(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


@db.command("list")
def list_(json: JsonOption = False) -> None:
    """List goldens, and the clones of namespaces."""
    from cx import wiring

    with wiring.open_host() as host:
        goldens = host.goldens.list()
        clones = host.all_clones(sizes=True)
        volumes = host.engine_goldens.list()
        ready = host.spares.list()
        snapshots = host.snapshots()
        old = {one.source: older_than_allowed(host, one) for one in goldens}
    if json:
        shown = [{**asdict(one), "old": old[one.source]} for one in goldens]
        shown += [{**asdict(one), "old": _old(host, one.source, one.created_at)} for one in volumes]
        as_json({"goldens": shown, "clones": clones, "spares": ready, "snapshots": snapshots})
        return
    waiting = Counter(one.source for one in ready)
    rows = [
        [
            "golden, TOO OLD" if old[one.source] else "golden",
            one.source,
            f"{waiting[one.source]} spare{'' if waiting[one.source] == 1 else 's'}",
            one.database,
            size(one.size_bytes),
            ago(one.created_at.timestamp()),
            one.strategy,
        ]
        for one in goldens
    ]
    rows += [
        [
            "golden, TOO OLD" if _old(host, one.source, one.created_at) else "golden",
            one.source,
            "",
            one.name,
            size(one.size_bytes),
            ago(one.created_at.timestamp() if one.created_at else None),
            "volume",
        ]
        for one in volumes
    ]
    rows += [
        [
            "clone" if one.complete else "half-made clone",
            one.source,
            str(one.namespace),
            one.database,
            size(one.size_bytes or 0),
            ago(one.created_at.timestamp() if one.created_at else None),
            one.made,
        ]
        for one in clones
    ]
    rows += [
        [
            f"snapshot {one.name}",
            one.source,
            str(one.namespace),
            one.database,
            size(one.size_bytes or 0),
            ago(one.created_at.timestamp()),
            "",
        ]
        for one in snapshots
    ]
    table(
        ["kind", "source", "namespace", "database", "size", "made", "by"],
        rows,
        "no goldens yet: name a source in the host configuration, then `cx db refresh NAME`",
    )


def older_than_allowed(host: Host, golden: Golden) -> bool:
    """Whether databases.NAME.max_age_h is over."""
    return _old(host, golden.source, golden.created_at)


def _old(host: Host, source: str, made_at: datetime | None) -> bool:
    given = host.settings.databases.get(source)
    allowed_s = given.max_age_h * 3600 if given else 0
    return made_at is not None and 0 < allowed_s < time.time() - made_at.timestamp()


@db.command()
def spares(json: JsonOption = False) -> None:
    """Make the finished clones that the next previews take. `cx deploy` starts this by itself when it took one."""
    from cx import wiring

    with wiring.open_host() as host:
        host.refill()
        ready = host.spares.list()
    if json:
        as_json(ready)
        return
    table(
        ["source", "database", "golden", "made"],
        [[one.source, one.database, one.golden, ago(one.created_at.timestamp())] for one in ready],
        "no spares: postgres.spares is 0, or there are no goldens",
    )


@db.command()
def reset(
    namespace: NamespaceArgument,
    database: NameArgument = "",
    force: ForceOption = False,
    json: JsonOption = False,
    remote: RemoteOption = "",
) -> None:
    """Give a namespace fresh data: a new clone of the newest golden, and its release command on it."""
    from cx.cli.namespaces import change, previews

    name = Namespace(namespace)
    with previews(remote) as there:
        confirm(f"Throw away the data of {namespace}?", force=force or json)
        change(name, lambda report: there.reset(name, database, report), as_json=json, what="reset")


@db.command()
def snapshot(
    namespace: NamespaceArgument,
    name: SnapshotArgument,
    database: NameArgument = "",
    remove: Annotated[bool, typer.Option("--remove", help="Remove it instead.")] = False,
) -> None:
    """Keep what a namespace's database holds now, under a name. Its connections are cut for a moment.

    What runs on a clone that is a volume is stopped meanwhile.
    """
    from cx import wiring

    space = Namespace(namespace)
    with wiring.open_host() as host, host.lock(space.name, "take a snapshot", wait_s=60):
        source = _source(host, space, database)
        if remove:
            host.copies(source).forget(space, source, name)
            print(f"{namespace}: snapshot {name} of {source} is gone")
            return
        host.copies(source).snapshot(space, source, name)
        print(f"{namespace}: snapshot {name} of {source} is kept; `cx db restore {namespace} {name}` brings it back")


@db.command()
def restore(
    namespace: NamespaceArgument, name: SnapshotArgument, database: NameArgument = "", force: ForceOption = False
) -> None:
    """Bring a snapshot's data back; then the release command runs on it."""
    from cx import wiring
    from cx.cli.namespaces import change
    from cx.local import LocalPreviews

    space = Namespace(namespace)
    with wiring.open_host() as host:
        source = _source(host, space, database)
        confirm(f"Throw away the data of {namespace} for its snapshot {name}?", force=force)

        def bring() -> None:
            host.copies(source).restore(space, source, name)

        local, what = LocalPreviews(host), f"restore {name}"
        change(
            space, lambda report: local.bring_data(space, "restore", what, bring, report), as_json=False, what="restore"
        )


@db.command()
def branch(
    namespace: NamespaceArgument,
    other: Annotated[str, typer.Option("--from", metavar="NAMESPACE", help="Whose data it gets a copy of.")],
    database: NameArgument = "",
    force: ForceOption = False,
) -> None:
    """Give a namespace a copy of another's data; then the release command runs on it."""
    from cx import wiring
    from cx.cli.namespaces import change
    from cx.local import LocalPreviews

    space, of = Namespace(namespace), Namespace(other)
    if space == of:
        raise Invalid("--from", other, "is the namespace itself")
    with wiring.open_host() as host:
        source = _source(host, space, database)
        confirm(f"Throw away the data of {namespace} for a copy of that of {other}?", force=force)

        def bring() -> None:
            host.copies(source).branch(space, source, of)

        local, what = LocalPreviews(host), f"branch from {other}"
        change(
            space,
            lambda report: local.bring_data(space, "branch", what, bring, report, reads=[of]),
            as_json=False,
            what="branch",
        )


@db.command()
def diff(namespace: NamespaceArgument, database: NameArgument = "", json: JsonOption = False) -> None:
    """Show how a namespace's schema and row counts differ from the newest golden's."""
    from cx import wiring

    space = Namespace(namespace)
    with wiring.open_host() as host:
        source = _source(host, space, database)
        found = host.copies(source).compare(space, source)
    if json:
        as_json(found)
        return
    for line in found.schema:
        print(printable(line))
    if found.schema and found.rows:
        print()
    table(
        ["table", "rows in golden", f"in {namespace}"],
        [[one.table, *("-" if n is None else str(n) for n in (one.golden, one.clone))] for one in found.rows],
        "" if found.schema else "no difference",
    )


@db.command()
def dump(
    namespace: NamespaceArgument,
    database: NameArgument = "",
    file: Annotated[Path | None, typer.Option("--file", help="Where to; else to standard output.")] = None,
) -> None:
    """Write a dump of a namespace's database by its engine's own tool.

    As of pg_dump --format=custom, mariadb-dump or mysqldump; Redis's is an RDB file; a volume's is a tar.
    """
    from cx import wiring

    if file is None and os.isatty(1):
        raise Invalid("standard output", "", "is a terminal", remedy=f"cx db dump {namespace} --file FILE")
    with wiring.open_host() as host:
        space = Namespace(namespace)
        source = _source(host, space, database)
        with _written(file) as write:
            host.copies(source).dump(space, source, write)


@contextmanager
def _written(file: Path | None) -> Iterator[Callable[[bytes], object]]:
    """What is written is in `file` once it is whole, for its owner only; or on standard output.

    Raises Invalid where it cannot be made, and Terminal where nobody reads.
    """
    if file is None or (file.exists() and not file.is_file()):
        try:
            with open(file or 1, "wb", closefd=file is not None) as out:
                yield out.write
        except BrokenPipeError:
            raise Terminal("the dump is cut: nobody reads it any more") from None
        except OSError as exc:
            raise Terminal(f"{file or 'standard output'} could not be written: {exc.strerror}") from exc
        return
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        out = os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as exc:
        raise Invalid("--file", shown(str(file)), exc.strerror or "cannot be written") from exc
    try:
        with out:
            yield out.write
        aside.replace(file)
    except OSError as exc:
        raise Terminal(f"{file} could not be written: {exc.strerror}", remedy="free some space") from exc
    finally:
        aside.unlink(missing_ok=True)


@db.command()
def psql(namespace: NamespaceArgument, database: NameArgument = "") -> None:
    """Open psql on a namespace's clone, as the role that the app has; or the client of its engine, on a server of its
    own."""
    from cx import wiring

    with wiring.open_host() as host:
        interactive = ["-it"] if os.isatty(0) and os.isatty(1) else ["-i"]
        if client := _client_inside(host, Namespace(namespace), database):
            os.execvp("docker", ["docker", "exec", *interactive, *client])  # noqa: S606
        clone = _one(host, Namespace(namespace), database)
        container = f"{host.names.instance}-postgres"
    # By the server's own socket: no password is needed, and none shows in argv.
    argv = ["docker", "exec", *interactive, container, "psql", "--no-psqlrc", "-U", clone, "-d", clone]
    os.execvp("docker", argv)  # noqa: S606


@db.command()
def drop(namespace: NamespaceArgument, database: NameArgument = "", force: ForceOption = False) -> None:
    """Drop a namespace's clone. The next deploy makes it anew from the newest golden."""
    from cx import wiring

    name = Namespace(namespace)
    with wiring.open_host() as host:
        clone = _one(host, name, database)
        confirm(f"Drop {clone}, with all that was written to it?", force=force)
        source = next(one.source for one in host.all_clones(name) if one.database == clone)
        with host.lock(name.name, "drop a database", wait_s=60):
            host.databases.drop(name, source)
        print(f"{namespace}: database {source} is dropped; `cx deploy` makes it anew")


def _one(host: Host, namespace: Namespace, database: str) -> str:
    """The one clone that is meant. Raises NotFound, Invalid."""
    clones = {one.source: one.database for one in host.all_clones(namespace)}
    if not clones:
        raise NotFound(f"{namespace} has no database", remedy="`cx db list` shows what there is")
    if not database and len(clones) > 1:
        raise Invalid("DATABASE", "", f"{namespace} has several", remedy=f"name one: {', '.join(sorted(clones))}")
    found = clones.get(database or next(iter(clones)))
    if found is None:
        error: CxError = NotFound(f"{namespace} has no database {database}", remedy=f"it has {', '.join(clones)}")
        raise error
    return found


def _client_inside(host: Host, namespace: Namespace, database: str) -> list[str]:
    """The container, and the command in it, that opens a clone with a server of its own; none for another clone."""
    clone = _one(host, namespace, database)
    source = next(one.source for one in host.all_clones(namespace) if one.database == clone)
    if source not in host.specs:
        return []
    found = host.engine_clones.client(namespace, source)
    if not found:
        raise NotFound(f"{namespace}: no server of cx's runs on {source}", remedy=f"`cx show {namespace}`")
    return found


def _source(host: Host, namespace: Namespace, database: str) -> str:
    """The source of the one clone that is meant. Raises NotFound, Invalid."""
    clone = _one(host, namespace, database)
    return next(one.source for one in host.all_clones(namespace) if one.database == clone)


def register(app: typer.Typer) -> None:
    app.add_typer(db, name="db")
