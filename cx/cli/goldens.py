"""Commands of `cx db` for goldens: the sanitised templates of the host's sources."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cx.cli.output import JsonOption, ago, as_json, printable, size, table
from cx.core.errors import CxError, Invalid, Terminal

if TYPE_CHECKING:
    from cx.host import Host


def refresh(
    database: Annotated[
        str, typer.Argument(metavar="[SOURCE]", help="A source of the host configuration: [databases.NAME].")
    ] = "",
    schedule: Annotated[
        bool, typer.Option("--schedule", help="Every source that is due: databases.NAME.refresh_every_h. For a timer.")
    ] = False,
) -> None:
    """Make a new golden of a source; the old one serves until then. A failed refresh changes nothing."""
    from cx import host as wiring

    if bool(database) == schedule:
        raise Invalid("SOURCE", "", "name one, or say --schedule")
    with wiring.open_host() as host:
        if not schedule:
            _refresh(host, database)
            return
        failed: list[str] = []
        for name in host.golden_uses.due():
            try:
                _refresh(host, name)
            except CxError as exc:  # the others are due all the same
                _aside(f"{name}: {exc}")
                failed.append(name)
        if failed:
            raise Terminal(f"not refreshed: {', '.join(failed)}; the old goldens serve", remedy="`cx db list`")


def _refresh(host: Host, database: str) -> None:
    made = host.golden_uses.refresh(database, _said)
    if not made.sanitised:
        print(f"note: databases.{database}.sanitise is not set: previews see the data as it is in the source")
    print(f"{database}: golden {made.name} with {size(made.size_bytes)} is ready")


SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A source of the host configuration: [databases.NAME].")
]


def classify(database: SourceArgument, json: JsonOption = False) -> None:
    """Look at a source for columns that look personal and have no rule, and propose rules as TOML."""
    from cx import host as wiring

    with wiring.open_host() as host:
        found = host.golden_uses.classify(database, _aside)
        proposal = host.golden_uses.proposal(database, found)
    if json:
        as_json([{"column": one.said, "type": one.column.type, "why": one.why, "rule": one.rule} for one in found])
    elif found:
        print("\n".join(map(printable, proposal)))
    else:
        _aside(f"{database}: every column that looks personal has a rule")


def audit(database: SourceArgument, json: JsonOption = False) -> None:
    """Prove on a golden, its files, rows, statistics and logs that no value of the masked columns is in it."""
    from cx import host as wiring

    with wiring.open_host() as host:
        found = host.golden_uses.audit(database, _aside)
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
        said += [f"its schema holds raw values of {found.in_schema}"] if found.in_schema else []
        said += [f"{one.found} values of {one.column} are there" for one in found.compared if one.found]
        raise Terminal(f"golden {found.golden} is not clean: {'; '.join(said)}", remedy=f"cx db refresh {database}")


def _said(text: str) -> None:
    """A line that may hold names of a dump's, which are whatever its author likes."""
    print(printable(text), flush=True)


def _aside(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


def list_(json: JsonOption = False) -> None:
    """List goldens, and the clones of namespaces."""
    from cx import host as wiring

    with wiring.open_host() as host:
        goldens = host.golden_uses.shared()
        clones = host.all_clones(sizes=True)
        volumes = host.golden_uses.volumes()
        ready = host.spares.list()
        snapshots = host.snapshots()
        made = [(one.source, one.created_at) for one in goldens] + [(one.source, one.created_at) for one in volumes]
        old = {source: host.golden_uses.too_old(source, at) for source, at in made}
    if json:
        shown = [{**asdict(one), "old": old[one.source]} for one in goldens]
        shown += [{**asdict(one), "old": old[one.source]} for one in volumes]
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
            "golden, TOO OLD" if old[one.source] else "golden",
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


def spares(json: JsonOption = False) -> None:
    """Make the finished clones that the next previews take. `cx deploy` starts this by itself when it took one."""
    from cx import host as wiring

    with wiring.open_host() as host:
        host.refilling.run()
        ready = host.spares.list()
    if json:
        as_json(ready)
        return
    table(
        ["source", "database", "golden", "made"],
        [[one.source, one.database, one.golden, ago(one.created_at.timestamp())] for one in ready],
        "no spares: postgres.spares is 0, or there are no goldens",
    )


def register(db: typer.Typer) -> None:
    for command in (refresh, classify, audit, list_, spares):
        db.command(command.__name__.rstrip("_"))(command)
