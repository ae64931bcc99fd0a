"""Commands of `cx db` for clones: the data of namespaces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cx.cli.commands import RemoteOption
from cx.cli.namespaces import NamespaceArgument
from cx.cli.output import ForceOption, JsonOption, as_json, confirm, printable, table
from cx.core.errors import CxError, Invalid, NotFound, Terminal
from cx.core.names import Namespace, shown

if TYPE_CHECKING:
    from cx.host import Host

NameArgument = Annotated[str, typer.Argument(metavar="[DATABASE]", help="Where a namespace has several.")]
SnapshotArgument = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Its name.")]


def reset(
    namespace: NamespaceArgument,
    database: NameArgument = "",
    force: ForceOption = False,
    json: JsonOption = False,
    remote: RemoteOption = "",
) -> None:
    """Give a namespace fresh data: a new clone of the newest golden, and its release command on it."""
    from cx.cli.namespaces import change, confirm_loss, previews

    name = Namespace(namespace)
    with previews(remote) as there:
        confirm_loss(f"Throw away the data of {namespace}?", there.owner(name), force=force, json=json)
        change(there, name, lambda report: there.reset(name, database, report), as_json=json, what="reset")


def snapshot(
    namespace: NamespaceArgument,
    name: SnapshotArgument,
    database: NameArgument = "",
    remove: Annotated[bool, typer.Option("--remove", help="Remove it instead.")] = False,
) -> None:
    """Keep what a namespace's database holds now, under a name. Its connections are cut for a moment.

    What runs on a clone that is a volume is stopped meanwhile.
    """
    from cx import host as wiring

    space = Namespace(namespace)
    with wiring.open_host() as host, host.lock(space.name, "take a snapshot", wait_s=60):
        source = _source(host, space, database)
        if remove:
            host.copies(source).forget(space, source, name)
            print(f"{namespace}: snapshot {name} of {source} is gone")
            return
        host.copies(source).snapshot(space, source, name)
        print(f"{namespace}: snapshot {name} of {source} is kept; `cx db restore {namespace} {name}` brings it back")


def restore(
    namespace: NamespaceArgument, name: SnapshotArgument, database: NameArgument = "", force: ForceOption = False
) -> None:
    """Bring a snapshot's data back; then the release command runs on it."""
    from cx import host as wiring
    from cx.cli.namespaces import change
    from cx.host.previews import LocalPreviews

    space = Namespace(namespace)
    with wiring.open_host() as host:
        source = _source(host, space, database)
        confirm(f"Throw away the data of {namespace} for its snapshot {name}?", force=force)

        def bring() -> None:
            host.copies(source).restore(space, source, name)

        local, what = LocalPreviews(host), f"restore {name}"
        change(
            local,
            space,
            lambda report: local.bring_data(space, "restore", what, bring, report),
            as_json=False,
            what="restore",
        )


def branch(
    namespace: NamespaceArgument,
    other: Annotated[str, typer.Option("--from", metavar="NAMESPACE", help="Whose data it gets a copy of.")],
    database: NameArgument = "",
    force: ForceOption = False,
) -> None:
    """Give a namespace a copy of another's data; then the release command runs on it."""
    from cx import host as wiring
    from cx.cli.namespaces import change
    from cx.host.previews import LocalPreviews

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
            local,
            space,
            lambda report: local.bring_data(space, "branch", what, bring, report, reads=[of]),
            as_json=False,
            what="branch",
        )


def diff(namespace: NamespaceArgument, database: NameArgument = "", json: JsonOption = False) -> None:
    """Show how a namespace's schema and row counts differ from the newest golden's."""
    from cx import host as wiring

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


def dump(
    namespace: NamespaceArgument,
    database: NameArgument = "",
    file: Annotated[Path | None, typer.Option("--file", help="Where to; else to standard output.")] = None,
) -> None:
    """Write a dump of a namespace's database by its engine's own tool.

    As of pg_dump --format=custom, mariadb-dump or mysqldump; Redis's is an RDB file; a volume's is a tar.
    """
    from cx import host as wiring

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


def psql(namespace: NamespaceArgument, database: NameArgument = "") -> None:
    """Open psql on a namespace's clone, as the role that the app has; or the client of its engine, on a server of its
    own."""
    from cx import host as wiring

    with wiring.open_host() as host:
        interactive = ["-it"] if os.isatty(0) and os.isatty(1) else ["-i"]
        if client := _client_inside(host, Namespace(namespace), database):
            host.become_docker("exec", *interactive, *client)
        clone = _one(host, Namespace(namespace), database)
        container = f"{host.names.instance}-postgres"
        # By the server's own socket: no password is needed, and none shows in argv.
        host.become_docker("exec", *interactive, container, "psql", "--no-psqlrc", "-U", clone, "-d", clone)


def drop(namespace: NamespaceArgument, database: NameArgument = "", force: ForceOption = False) -> None:
    """Drop a namespace's clone. The next deploy makes it anew from the newest golden."""
    from cx import host as wiring

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


def register(db: typer.Typer) -> None:
    for command in (reset, snapshot, restore, branch, diff, dump, psql, drop):
        db.command(command.__name__.rstrip("_"))(command)
