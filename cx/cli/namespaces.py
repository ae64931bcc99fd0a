"""Commands of namespaces: deploy, delete, list, show, logs, exec, open, events, prune."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cx.cli.commands import REMOTE_VARIABLE, RemoteOption
from cx.cli.output import ForceOption, JsonOption, ago, as_json, confirm, lasting, printable, size, table, until
from cx.core.errors import Invalid, NotFound
from cx.core.names import Namespace, shown

if TYPE_CHECKING:
    from cx.core.history import Deployment
    from cx.core.origin import Origin
    from cx.core.ports import Reporter
    from cx.core.previews import Ending, Previews

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ENVIRONMENT = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def complete() -> list[str]:
    """Namespace names for the shell; none of another host's, and none when anything at all is wrong."""
    from cx import host as wiring
    from cx.core.errors import CxError

    if os.environ.get(REMOTE_VARIABLE):
        return []
    try:
        with wiring.open_host() as host:
            return [wish.namespace.name for wish in host.store.all_desired()]
    except CxError:
        return []


NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", help="Its name, as preview-123.", autocompletion=complete)
]
NamespaceArgument = Annotated[str, typer.Argument(metavar="NAMESPACE", autocompletion=complete)]


def deploy(
    namespace: NamespaceOption,
    path: Annotated[Path, typer.Argument(help="The folder of the project.")] = Path("."),
    environment: Annotated[str, typer.Option(help="Which [environments.*] of cx.toml holds.")] = "preview",
    ref: Annotated[str, typer.Option(help="A commit, instead of the folder as it is.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A variable for every service; KEY alone takes its value from the environment, where no list of "
            "processes shows it.",
        ),
    ] = None,
    reset_db: Annotated[bool, typer.Option("--reset-db", help="With fresh data.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Also a namespace that was deployed from elsewhere, with its data.")
    ] = False,
    json: JsonOption = False,
    remote: RemoteOption = "",
) -> None:
    """Bring a namespace to what a folder holds: build, clone, start, and switch when the new one answers."""
    name = Namespace(namespace)
    if take_over and remote:
        raise Invalid("--take-over", "", "is for the host itself", remedy="run it there, without --remote")
    if not ENVIRONMENT.fullmatch(environment):
        raise Invalid("--environment", shown(environment), "must be up to 40 of a-z, 0-9, '_' and '-'")
    values = variables(set_ or [])
    if not is_text(str(path.resolve())):
        raise Invalid("PATH", shown(str(path.resolve()), 200), "is not UTF-8", remedy="rename it")
    if not is_text(ref):
        raise Invalid("--ref", shown(ref), "is not a commit, branch or tag")
    with previews(remote, reads=True) as there:
        from cx.core.previews import Wanted

        source = there.read(name, path, ref)
        wanted = Wanted(environment, values, reset_db, take_over)
        change(there, name, lambda report: there.deploy(name, source, wanted, report), as_json=json)


def variables(given: list[str]) -> Mapping[str, str]:
    """`KEY=VALUE` texts, and those of the environment that are named by KEY, as a mapping. Raises Invalid."""
    values = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not VARIABLE.fullmatch(key):
            raise Invalid("--set", shown(key), "must be KEY=VALUE, KEY of letters, digits and '_'")
        if not equals:
            if key not in os.environ:
                raise Invalid("--set", key, "must be KEY=VALUE, or the environment must have it")
            value = os.environ[key]
        if "\0" in value:
            raise Invalid("--set", key, "its value holds a NUL character")
        if not is_text(value):
            raise Invalid("--set", key, "its value is not UTF-8")
        values[key] = value
    return values


def is_text(given: str) -> bool:
    """Whether it was UTF-8, as arguments and names of files need not be."""
    return not any("\ud800" <= one <= "\udfff" for one in given)


@contextmanager
def previews(remote: str = "", *, reads: bool = False) -> Iterator[Previews]:
    """Those of this machine, or those behind the API at `remote`. `reads`: a project is to be read first."""
    if remote:
        from cx.host.remote import Remote

        with Remote.open(remote, os.environ.get("CX_REMOTE_TOKEN", "")) as there:
            yield there
        return
    with ExitStack() as stack:
        reader = None
        if reads:
            from cx.host.reader import reading

            reader = stack.enter_context(reading())
        from cx import host as wiring
        from cx.host.previews import LocalPreviews

        yield LocalPreviews(stack.enter_context(wiring.open_host(reader)))


def change(
    there: Previews, name: Namespace, doing: Callable[[Reporter], Ending], *, as_json: bool, what: str = ""
) -> None:
    """One change of what is `there`, told as it goes; then where the namespace is to be found.

    `what` it is, if not seen by itself.
    """
    import time

    from cx.cli.progress import interruptible, teller

    began = time.monotonic()
    report = teller(as_json=as_json, what=what)
    with interruptible(name, report, there.interrupted):
        ending = doing(report)
    if as_json:
        import msgspec

        from cx.core.events import done

        print(msgspec.json.encode(done(ending, name, time.monotonic() - began)).decode())
        return
    for note in ending.notes:
        print(f"note: {printable(note)}")
    if ending.outcome == "unchanged":
        print(f"{name}: nothing changed")
    else:
        print(f"{name}: {ending.outcome} in {time.monotonic() - began:.1f} s")
    for url in ending.urls:
        print(f"  {url}")


def delete(
    namespace: NamespaceOption, force: ForceOption = False, json: JsonOption = False, remote: RemoteOption = ""
) -> None:
    """Remove a namespace and everything in it, and show that nothing is left. Asks first, but for --json."""
    name = Namespace(namespace)
    with previews(remote) as there:
        if not there.there(name):
            if json:
                as_json({"event": "deleted", "namespace": namespace, "urls": []})
            else:
                print(f"{namespace}: nothing is left of it")
            return
        confirm_loss(f"Delete {namespace}, with its data?", there.owner(name), force=force, json=json)
        change(there, name, lambda report: there.delete(name, report), as_json=json)


def confirm_loss(question: str, owner: Origin, *, force: bool, json: bool) -> None:
    """A namespace's data is about to go. `--json` says yes, but not for what a pull request owns."""
    if owner.repository:
        confirm(f"It belongs to {owner.words}. {question}", force=force)
    else:
        confirm(question, force=force or json)


def list_(json: JsonOption = False, remote: RemoteOption = "") -> None:
    """List namespaces."""
    with previews(remote) as there:
        rows = there.overview()
    if json:
        as_json(rows)
        return
    table(
        ["namespace", "state", "version", "services", "databases", "deployed", "ends", "url"],
        [
            [
                one.namespace,
                one.state,
                one.version,
                one.services,
                str(one.databases),
                ago(one.deployed_at),
                until(one.expires_at),
                one.url,
            ]
            for one in rows
        ],
        "no namespaces yet: `cx deploy --namespace preview-1` in the folder of a project makes one",
    )
    for one in rows:
        if one.why:
            print(f"{one.namespace}: {printable(one.why)}")


def show(namespace: NamespaceArgument, json: JsonOption = False, remote: RemoteOption = "") -> None:
    """Show all about one namespace: services and what they use, databases, URLs, history."""
    with previews(remote) as there:
        found = there.detail(Namespace(namespace))
    if json:
        as_json(found)
        return
    end = f"  ends {until(found.expires_at)}" if found.expires_at is not None else ""
    print(f"{found.namespace}  {found.state}  {found.version}  from {found.origin}{end}")
    for url in found.urls:
        print(f"  {url}")
    print()
    table(
        ["service", "role", "state", "memory", "cpu", "revision"],
        [
            [one.service, one.role, one.state, size(one.memory_bytes), f"{one.cpu:.1f} %", one.revision]
            for one in found.services
        ],
        "no containers",
    )
    for one in found.services:
        if one.why:
            print(f"{one.service} {printable(one.why)}")
    print()
    table(
        ["database", "name", "size", "made"],
        [[one.source, one.database, size(one.size_bytes), ago(one.created_at)] for one in found.databases],
        "no databases",
    )
    print()
    _history(found.deployments[:10])


def _history(deployments: Sequence[Deployment]) -> None:
    table(
        ["attempt", "to", "version", "outcome", "took", "when", "message"],
        [
            [
                str(one.id),
                one.doing,
                one.version,
                one.outcome,
                lasting(one.finished_at - one.started_at) if one.finished_at else "-",
                ago(one.started_at),
                one.message[:70],
            ]
            for one in deployments
        ],
        "no history",
    )


def events(namespace: NamespaceArgument, json: JsonOption = False, remote: RemoteOption = "") -> None:
    """Print what was done to a namespace, step by step."""
    with previews(remote) as there:
        history = there.history(Namespace(namespace))
    if json:
        as_json(history)
        return
    for one in reversed(history.deployments):
        print(f"{one.doing} {one.id}  {one.version}  {one.outcome}  {ago(one.started_at)}")
        for step in history.steps:
            if step.deployment == one.id:
                print(f"    {step.step:<44} {step.outcome:<8} {step.duration_s:6.2f} s")
        if one.message:
            print(f"    {printable(one.message)}")
        for line in one.log:
            print(f"    | {shown(line, 200)}")


def logs(
    namespace: NamespaceArgument,
    service: Annotated[str, typer.Argument(help="Only this one.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[int, typer.Option(min=0, max=100_000, help="How many of the last lines.")] = 100,
    remote: RemoteOption = "",
) -> None:
    """Print the logs of a namespace's services: each line with its service in front, where there are several."""
    with previews(remote) as there:
        found = there.logs(Namespace(namespace), service, follow=follow, tail=tail)
        width = max(map(len, found.services), default=0)
        with suppress(KeyboardInterrupt):  # how following ends
            for one in found.lines:
                label = f"{one.service:<{width}} | " if len(found.services) > 1 else ""
                print(label + printable(one.text), flush=True)
            if follow:
                print(f"{namespace}: these containers have ended; the same command follows the next", file=sys.stderr)


def exec_(
    namespace: NamespaceArgument,
    service: Annotated[str, typer.Argument(help="In the container of this service.")],
    command: Annotated[list[str] | None, typer.Argument(help="What to run; a shell when left out.")] = None,
) -> None:
    """Run a command in a container of a namespace: cx exec preview-1 app -- ls."""
    from cx import host as wiring

    name = Namespace(namespace)
    with wiring.open_host() as host:
        serving = host.router.observe(name).revision
        running = [one for one in host.workloads.observe(name).containers if one.running and one.service == service]
        running.sort(key=lambda one: one.revision != serving)
        if not running or running[0].role == "pooler":
            raise NotFound(f"{namespace} runs no service {shown(service)}", remedy=f"`cx show {namespace}`")
        interactive = ["-it"] if os.isatty(0) and os.isatty(1) else ["-i"]
        host.become_docker("exec", *interactive, running[0].id, *(command or ["sh"]))


def open_(namespace: NamespaceArgument, remote: RemoteOption = "") -> None:
    """Open a namespace's URL in the browser."""
    import webbrowser

    with previews(remote) as there:
        urls = there.urls(Namespace(namespace))
    if not urls:
        raise NotFound(f"{namespace} answers at no URL", remedy=f"`cx show {namespace}` says why")
    print(urls[0])
    webbrowser.open(urls[0])


def sleep(namespace: NamespaceArgument, json: JsonOption = False, remote: RemoteOption = "") -> None:
    """Stop a namespace's containers, and keep all else: data, volumes, network, URL. Until it wakes it answers 503."""
    name = Namespace(namespace)
    with previews(remote) as there:
        change(there, name, lambda report: there.sleep(name, report), as_json=json)


def wake(namespace: NamespaceArgument, json: JsonOption = False, remote: RemoteOption = "") -> None:
    """Start what sleeps, as it was, and wait until it answers. A deploy wakes, too."""
    name = Namespace(namespace)
    with previews(remote) as there:
        change(there, name, lambda report: there.wake(name, report), as_json=json, what="wake")


def extend(
    namespace: NamespaceArgument,
    lasting: Annotated[str, typer.Argument(metavar="TIME", help="From now: 12h, 3d, 2w; or `never`.")],
    json: JsonOption = False,
    remote: RemoteOption = "",
) -> None:
    """Let a namespace live so long from now, or longer if it does already; `never`: it has no end."""
    lasting_s = lasting_of(lasting)
    with previews(remote) as there:
        at = there.extend(Namespace(namespace), lasting_s)
    if json:
        as_json({"namespace": namespace, "expires_at": at})
    else:
        print(f"{namespace}: ends {until(at)}" if at is not None else f"{namespace}: has no end")


def lasting_of(text: str) -> float | None:
    """`3d` in seconds, None for `never`. Raises Invalid."""
    from cx.pulls.commands import lasting_s

    if text == "never":
        return None
    try:
        return lasting_s(text)
    except ValueError as exc:
        raise Invalid("TIME", shown(text), f"{exc}, or `never`") from exc


def register(app: typer.Typer) -> None:
    for command in (deploy, delete, list_, show, logs, exec_, open_, events, sleep, wake, extend):
        app.command(command.__name__.rstrip("_"))(command)
