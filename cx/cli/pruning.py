"""`cx prune`: what is there for nobody goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cx.cli.output import ForceOption, confirm, printable
from cx.core.errors import Retryable
from cx.core.names import Namespace

if TYPE_CHECKING:
    from cx.host.upkeep import Upkeep


def prune(
    force: ForceOption = False,
    expired: Annotated[bool, typer.Option("--expired", help="Also namespaces whose end has come.")] = False,
    unfollowed: Annotated[
        bool,
        typer.Option(
            "--unfollowed", help="Also those of repositories that the host configuration does not name any more."
        ),
    ] = False,
) -> None:
    """Remove what belongs to no namespace that is wanted: of this instance only, and shown first."""
    import time

    from cx import host as wiring
    from cx.cli.progress import reporter

    with wiring.open_host() as host:
        upkeep = host.upkeep
        orphans, silent = upkeep.orphans()
        rest = upkeep.litter()
        ended = upkeep.expired(time.time()) if expired else []
        orphans |= {one.name: ["its end has come"] for one in ended}
        parted = upkeep.unfollowed()
        if unfollowed:
            orphans |= {
                one.name: [f"{host.existing(one).origin.repository} is not followed any more"] for one in parted
            }
        elif parted:
            names = ", ".join(one.name for one in parted)
            print(f"left alone, of repositories that are not followed any more (--unfollowed): {names}")
        volumes = host.engine_goldens.leftovers()
        databases = {} if silent else upkeep.stray_databases()
        if silent:
            print(f"left alone: databases, as {printable(silent.what)}; `cx prune` again when it is back removes them")
        if not orphans and not rest and not volumes and not databases:
            print("nothing to prune")
            _tidied(upkeep)
            return
        for name, left in orphans.items():
            print(f"{name}: {', '.join(left)}")
        for one in rest:
            print(f"{'mirror of a project' if one.suffix == '.git' else 'checkout'} that nothing uses: {one}")
        for golden in volumes:
            print(f"half-made or replaced golden: {golden.name}")
        for database, why in databases.items():
            print(f"{why}: {database}")
        confirm("Remove all of this?", force=force)
        failed: list[str] = []
        for name in orphans:
            if Namespace(name) in ended and Namespace(name) not in upkeep.expired(time.time()):
                continue  # it was extended, or deployed again, while somebody read the question
            try:
                host.want_absent(Namespace(name))
                host.settle(Namespace(name), reporter(host, as_json=False), "prune")
            except Retryable as exc:  # the others go all the same
                failed.append(str(exc))
        for golden in volumes:
            host.engine_goldens.remove(golden)
        if databases:
            upkeep.remove_stray_databases()
        for one in rest:
            if not upkeep.remove_litter(one):
                print(f"left alone, somebody uses it: {one}")
        _tidied(upkeep)
        if failed:
            raise Retryable(f"{len(failed)} namespaces are not wholly gone", remedy="`cx prune` again", log=failed)
        print("done")


def _tidied(upkeep: Upkeep) -> None:
    for one in upkeep.tidy_mirrors():
        done = "removed" if one.removed else f"packed, {one.freed_bytes >> 20} MiB less" if one.packed else one.why
        print(f"mirror {one.mirror}: {done or 'refs of closed pull requests removed'}")


def register(app: typer.Typer) -> None:
    app.command()(prune)
