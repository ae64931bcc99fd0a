"""Commands of pull requests: listen to GitHub, compare with it, replay what it sent."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cx.cli.commands import Commands
from cx.core.errors import Busy, Invalid, Retryable

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from cx.host import Host
    from cx.pulls import Inbox
    from cx.pulls.repositories import Followed
    from cx.schema import Secret
    from cx.web.rehearsal import Rehearsal

git = Commands(help="Pull requests: the listener, and what it does by hand.")

SecretOption = Annotated[
    list[str],
    typer.Option(
        "--secret",
        help="The webhook's secret, or env:NAME; several while it is changed. Whoever lists the processes sees it "
        "here: rather set listen.secrets or CX_LISTEN_SECRETS.",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done; do nothing, and write nothing to GitHub.")
]


@git.command()
def listen(
    address: Annotated[str, typer.Option("--host", help="Address to listen on; listen.host otherwise.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; listen.port otherwise.")] = 0,
    secret: SecretOption = [],  # noqa: B006 - typer's way
    dry_run: DryRunOption = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Take unsigned deliveries; on a loopback address only.")
    ] = False,
) -> None:
    """Take GitHub's deliveries, and give every pull request its preview, until SIGTERM or Ctrl-C.

    Logs are JSON lines on standard error.
    """
    from cx import host as wiring
    from cx import logs
    from cx.host.following import open_following
    from cx.web.listener import Hands, place
    from cx.web.listener import listen as serve

    with wiring.open_host() as host:
        given = host.settings.listen
        at = place(
            address or given.host,
            port or given.port,
            _secrets(secret, host),
            insecure=insecure,
            size_max=given.size_max_kb * 1024,
        )
        _repositories(host)
        logs.start()
        if dry_run:
            with _rehearsal(host) as (box, rehearsal):
                serve(at, box, rehearsal)
            return
        with _alone(host), open_following(host) as following:
            serve(at, host.deliveries, Hands(following, following.followed), _api(host))


@git.command()
def sync(dry_run: DryRunOption = False) -> None:
    """Compare all open pull requests with what is there, and do what is missing; for cron, or after trouble.

    Where a listener runs, it does the work.
    """
    from cx import host as wiring
    from cx import logs
    from cx.host.following import open_following
    from cx.pulls.values import PullId

    with wiring.open_host() as host:
        repositories = _repositories(host)
        logs.start()
        if dry_run:
            with _rehearsal(host) as (box, rehearsal):
                for repository in repositories:
                    box.ask(PullId(repository, 0))
                _all_well(rehearsal.drain())
            return
        box = host.deliveries
        for repository in repositories:
            box.ask(PullId(repository, 0))
        with ExitStack() as stack:
            try:
                stack.enter_context(_alone(host))
            except Busy:
                print("the listener that runs compares them now")
                return
            box.recover()
            _all_well(stack.enter_context(open_following(host)).drain())


@git.command()
def replay(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A payload, as GitHub shows it under Recent deliveries.")
    ],
    event: Annotated[str, typer.Option(help="Its event; found out from the payload otherwise.")] = "",
    delivery: Annotated[str, typer.Option(help="Its id; a new one otherwise.")] = "",
    url: Annotated[str, typer.Option(help="The listener; that of this host otherwise.")] = "",
    secret: SecretOption = [],  # noqa: B006
    dry_run: DryRunOption = False,
) -> None:
    """Sign a recorded payload and send it to the listener that runs; with --dry-run, print the plan instead."""
    from cx import host as wiring
    from cx import logs
    from cx.web.replay import recorded, send

    recording = recorded(file, event, delivery)
    with wiring.open_host() as host:
        if dry_run:
            logs.start()
            with _rehearsal(host) as (box, rehearsal):
                _take(rehearsal.followed, box, recording.event, recording.body, recording.delivery)
                _all_well(rehearsal.drain())
            return
        secrets = _secrets(secret, host)
        given = host.settings.listen
        there = f"[{given.host}]" if ":" in given.host else given.host
        print(
            send(
                recording,
                url or f"http://{there}:{given.port}/webhook",
                secrets[0].reveal().encode() if secrets else None,
            )
        )


def _take(followed: Followed, box: Inbox, event: str, body: bytes, delivery: str) -> None:
    """As the listener takes it. Raises Invalid."""
    import time

    from cx.forges.github.payloads import Malformed, read

    try:
        found = read(event, body, delivery, followed, time.time())
    except Malformed as exc:
        raise Invalid("FILE", "", f"is not a payload of {event}: {exc}") from exc
    if isinstance(found, str):
        print(f"{event}: ignored, {found}")
        return
    box.accept(found)
    for said in found.commands:
        print(f"{said.pull}: {said.login} says {said.verb.value} {said.argument}".rstrip())


def _secrets(options: list[str], host: Host) -> list[Secret]:
    """Those of the command line, or those of the configuration."""
    from cx.schema import Secret

    return [Secret(one, os.environ, "--secret") for one in options] or list(host.settings.listen.secrets)


def _repositories(host: Host) -> list[str]:
    """In lower case. Raises Invalid when there is none."""
    found = sorted(host.settings.github.rules)
    if not found:
        remedy = 'add [github.repositories."owner/name"]; see docs/github.md'
        raise Invalid("github.repositories", "", "holds no repository", remedy=remedy)
    return found


def _api(host: Host) -> list[BaseRoute]:
    """None without a token."""
    from cx.host.previews import ServedPreviews
    from cx.web.routes import api_routes
    from cx.web.tokens import tokens_of

    given = host.settings.api
    return api_routes(ServedPreviews(host), tokens_of(given.tokens), upload_max=given.upload_max_mb << 20)


@contextmanager
def _alone(host: Host) -> Iterator[None]:
    """This process, and no other, works on the pull requests of this host. Raises Busy."""
    with host.lock("following", "follow pull requests"):
        yield


@contextmanager
def _rehearsal(host: Host) -> Iterator[tuple[Inbox, Rehearsal]]:
    """A queue that is gone afterwards, and who prints the plans of what is in it."""
    from cx.host.following import open_following, scratch_queue
    from cx.web.rehearsal import Rehearsal

    _repositories(host)
    with scratch_queue() as box, open_following(host) as following:
        yield box, Rehearsal(box, following.followed, following.plan, lambda text: print(text, flush=True))


def _all_well(failed: Sequence[str]) -> None:
    if failed:
        raise Retryable(f"{len(failed)} could not be brought to what GitHub says", log=failed)


def register(app: typer.Typer) -> None:
    app.add_typer(git, name="git")
