"""Commands of the host: up, down, doctor, config."""

from __future__ import annotations

from typing import Annotated

import typer

from cx.cli.commands import Commands
from cx.cli.output import ForceOption, JsonOption, as_json, confirm, printable, table

config = Commands(help="The host configuration.")


def up() -> None:
    """Start the host's stack: the router and the database server."""
    from cx import host as wiring

    with wiring.open_host() as host:
        host.up(lambda text: print(f"{text} ...", flush=True))
        url = host.settings.base_url(f"NAMESPACE-SERVICE.{host.settings.domain}")
        print(f"the host's stack is up: previews answer at {url}")


def down(
    force: ForceOption = False,
    volumes: Annotated[bool, typer.Option("--volumes", help="Remove the data as well: goldens and clones.")] = False,
) -> None:
    """Stop the host's stack. Its data stays, unless --volumes."""
    from cx import host as wiring

    with wiring.open_host() as host, host.lock("stack", "stop the stack", wait_s=60):
        running = host.workloads.observe_all()
        lost = "with all goldens and clones" if volumes else "its data stays"
        lose = ", and lose their data: `cx delete` removes them" if volumes else ""
        used = f"; {len(running)} namespaces will not answer{lose}" if running else ""
        confirm(f"Stop the router and the database server ({lost}{used})?", force=force)
        for golden in host.engine_goldens.all() if volumes else ():
            host.engine_goldens.remove(golden)
        host.stack.down(volumes=volumes, say=lambda text: None)
        print(f"the host's stack is down ({lost})")


def doctor(json: JsonOption = False) -> None:
    """Check everything that previews need, and say what mends what is wrong."""
    from cx import host as wiring

    with wiring.open_host() as host:
        found = host.doctor.checks()
    if json:
        as_json(found)
    else:
        signs = {"ok": "✓", "advice": "!", "broken": "✗"}
        width = max(len(one.name) for one in found)
        for one in found:
            print(f"{signs[one.state]} {one.name:<{width}}  {printable(one.finding)}")
            if one.remedy:
                print(f"  {'':<{width}}  → {printable(one.remedy)}")
    if any(one.state == "broken" for one in found):
        raise typer.Exit(1)


@config.command("show")
def config_show(json: JsonOption = False) -> None:
    """Print every setting, its value, and where that comes from."""
    from cx import host as wiring
    from cx.settings import settings_document

    document = settings_document(wiring.load_settings())
    if json:
        as_json(document)
        return
    table(["setting", "value", "from"], [[key, str(one["value"]), one["from"]] for key, one in document.items()], "")


@config.command("path")
def config_path() -> None:
    """Print where the host configuration is read from."""
    import os

    from cx.settings import default_path

    print(default_path(os.environ))


def register(app: typer.Typer) -> None:
    for command in (up, down, doctor):
        app.command()(command)
    app.add_typer(config, name="config")
