"""Following pull requests on one host: every adapter that it takes, put together."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from cx import logs
from cx.core.errors import CxError, NotFound, Owned
from cx.core.history import FRESH, Chore, Deployment
from cx.core.names import Namespace, natural, shown
from cx.core.origin import Origin
from cx.core.plan import settled
from cx.core.state import Do, Observed
from cx.docker.address import VARIABLES
from cx.git.fetching import Fetching, Limits, Remote
from cx.host.host import Host
from cx.host.jobs.running import Jobs
from cx.host.named import Lacking, demand, lacking
from cx.pulls import Announcer, Forge, Gauge, Inbox, Order, Repositories, Standing
from cx.pulls.budget import Budget
from cx.pulls.look import Follower
from cx.pulls.planning import planned
from cx.pulls.repositories import Followed, Remembered
from cx.pulls.telling import Telling
from cx.pulls.values import DatabaseShown, Pull, PullId, ServiceShown
from cx.pulls.workers import Workers
from cx.redaction import Redactor
from cx.schema import Secret, alternatives, leaves, unwrapped
from cx.settings import HostFile
from cx.store import Database
from cx.store.deliveries import Deliveries
from cx.store.heads import HeadsTable
from cx.store.pulls import PullsTable
from cx.store.repositories import RepositoriesTable
from cx.store.writes import WritesTable

# What a job's process needs of our environment; no secret is among it (law 8).
PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSH_AUTH_SOCK", "CX_CONFIG"}
    | {*VARIABLES, "DOCKER_CONFIG", "CX_TEST_DIE_AT"}
)
LOG_LINES = 40
LOOKED_S = 10.0


@dataclass
class Following:
    """Whoever runs it holds the lock `following`."""

    host: Host
    follower: Follower
    workers: Workers
    stopping: threading.Event
    known: Repositories = field(default_factory=Remembered)
    _looked_at: float = field(default=float("-inf"), init=False)
    _last: list[Lacking] = field(default_factory=list, init=False)

    @property
    def followed(self) -> Followed:
        return Followed(self.workers.repositories, self.known)

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set; what runs then is ended, and comes again at the next start."""

        def watch() -> None:
            stop.wait()
            self.stopping.set()

        threading.Thread(target=watch, name="stop", daemon=True).start()
        self.workers.run(stop)

    def drain(self) -> Sequence[str]:
        """Works until nothing is due; what failed, in words."""
        self.workers.run(self.stopping, until_idle=True)
        failed = [f"{pull}: {why}" for pull, why in sorted(self.workers.failed.items())]
        return [*failed, *self.follower.telling.untold()]

    def sync(self) -> None:
        """A comparison of every repository with GitHub is asked for."""
        self.workers.ask_for_comparisons()

    def wake(self) -> None:
        self.workers.wake()

    def measure(self, looked: Callable[[str, float], None]) -> None:
        """`looked` is told of each look, as Workers says."""
        self.workers.looked = looked

    def parked(self) -> int:
        """How many pull requests have been looked at, and wait for a place to be deployed."""
        return self.workers.parked

    def chores(self) -> Sequence[Chore]:
        """How the newest runs went of what nobody waits for."""
        last = self.host.refilling.last()
        return [last] if last else []

    def problems(self) -> Sequence[str]:
        """What GitHub refused when it was last asked, without asking, and that looks fail."""
        refused = [*self.follower.forge.refused(), *self.follower.fetcher.refused()]
        if count := len(self._lacking()):
            refused.append(f"{count} of what the host configuration names cannot be used: `cx doctor` says which")
        failing = len(self.follower.queue.troubled())
        if failing:
            refused.append(f"{failing} of what is due cannot be done: the log and `cx doctor` say why")
        return refused

    def _lacking(self) -> list[Lacking]:
        """Looked at again every LOOKED_S seconds: files come and go."""
        now = time.monotonic()
        if now - self._looked_at > LOOKED_S:
            self._looked_at, self._last = now, lacking(self.host.settings, os.environ)
        return self._last

    def gauges(self) -> Sequence[Gauge]:
        telling = self.follower.telling
        waiting = [
            Gauge("cx_reports_waiting", "Reports on their way to GitHub.", count, ("urgency", urgency.name.lower()))
            for urgency, count in telling.waiting().items()
        ]
        failing = Gauge("cx_looks_failing", "What is due and failed last.", len(self.follower.queue.troubled()))
        return [failing, *waiting, *telling.announcer.gauges()]

    def plan(self, pull: PullId) -> str:
        """What a look at it would do, in words. Number 0: of all that a comparison finds. Nothing is written."""
        if pull.number:
            return planned(self.follower, pull)
        from cx.pulls.sync import missed

        found = missed(self.follower, pull.repository, hear=False)
        lines = [f"{planned(self.follower, one.pull)} ({one.why})" for one in found]
        return "\n".join(lines) or f"{pull.repository}: all is as GitHub says"


@contextmanager
def open_following(host: Host, *, github: tuple[Forge, Announcer] | None = None) -> Iterator[Following]:
    """`github` in place of the one of the host configuration. Raises Invalid for what that names and cannot be used,
    where nothing goes without it; the rest is in the log."""
    if github is None:
        for one in demand(host.settings, os.environ):
            logs.warning("named in the host configuration, and cannot be used", why=one.why)
    settings = host.settings.github
    pinned = {name: rules.id for name, rules in settings.rules.items() if rules.id}
    known = RepositoriesTable(host.database, set(settings.rules), pinned)
    forge, announcer = github or _github(host, known)
    stopping = threading.Event()
    box = host.deliveries
    follower = Follower(
        forge=forge,
        telling=Telling(announcer),
        queue=box,
        commands=box,
        pulls=PullsTable(host.database),
        heads=HeadsTable(host.database),
        previews=HostPreviews(host),
        fetcher=PullFetcher(host, forge),
        jobs=Jobs(
            job_environment(os.environ),
            lambda namespace: host.cut_off(namespace, "interrupted" if stopping.is_set() else "superseded"),
        ),
        rules=settings.rules.get,
        name=lambda pull: Namespace(settings.namespace_of(pull.repository, pull.number)),
        hide=Redactor(secrets_of(host)),
        stopped=stopping.is_set,
    )
    workers = Workers(follower, settings.at_once, sorted(settings.rules), float(settings.sync_s))
    workers.housekeep = host.refilling.housekeep
    yield Following(host, follower, workers, stopping, known)


@contextmanager
def scratch_queue() -> Iterator[Inbox]:
    """A queue that nobody works, and that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cx-rehearsal-") as folder:
        database = Database(Path(folder) / "cx.db")
        try:
            yield Deliveries(database)
        finally:
            database.close()


def _github(host: Host, known: Repositories) -> tuple[Forge, Announcer]:
    from cx.forges.github import open_github

    return open_github(host.settings.github, os.environ, Budget(WritesTable(host.database)), known)


def job_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a job gets of `environ`: the keys of the host configuration that hold no secret, and what Docker needs."""
    ours = {"_".join(("CX", *key)).upper() for key, type_ in leaves(HostFile) if "*" not in key and not _secret(type_)}
    return {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name in ours or name.startswith(("LC_", "XDG_"))
    }


def _secret(type_: object) -> bool:
    plain, _, _ = unwrapped(type_)
    found = [unwrapped(one)[0] for one in alternatives(plain)]
    return any(one is Secret or Secret in [unwrapped(inner)[0] for inner in _inside(one)] for one in found)


def _inside(type_: object) -> tuple[object, ...]:
    return getattr(type_, "__args__", ())


def secrets_of(host: Host) -> list[str]:
    """Every secret that this host knows, for taking them out of texts."""
    found = [given.reveal() for given in _known_secrets(host.settings) if not given.variable or _is_set(given)]
    found += [os.environ[name] for name in ("GITHUB_TOKEN",) if os.environ.get(name)]
    found += [one.read_text() for one in sorted((host.state_dir / "secrets").glob("[!.]*")) if one.is_file()]
    for url in list(found):
        if "://" in url and "@" in url:
            found.append(url.partition("://")[2].rpartition("@")[0].partition(":")[2])
    return found


def _known_secrets(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _known_secrets(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _known_secrets(one)
    elif hasattr(value, "__struct_fields__"):
        for name in value.__struct_fields__:
            yield from _known_secrets(getattr(value, name))


def _is_set(secret: Secret) -> bool:
    try:
        return bool(secret.reveal())
    except CxError:
        return False


@dataclass(frozen=True)
class PullFetcher:
    """cx.pulls.Fetcher over git, as the host configuration limits it."""

    host: Host
    forge: Forge

    def fetch(self, pull: Pull, cancelled: Callable[[], bool], *, insist: bool = False) -> tuple[str, str]:
        remote = self.remote(pull)
        return remote.project, self._fetching.fetch(remote, pull.id.number, pull.head, cancelled, insist=insist)

    def remote(self, pull: Pull) -> Remote:
        """Where it is fetched from, and what may come along."""
        return replace(self._remote(pull.id.repository, credentials=True), trusted=not pull.fork)

    def forget(self, pull: PullId) -> None:
        self._fetching.forget(self._remote(pull.repository, credentials=False), pull.number)

    def refused(self) -> Sequence[str]:
        return ["git is not allowed to fetch a repository"] if self._fetching.refused else []

    def tidy(self, cancelled: Callable[[], bool]) -> None:
        for one in self.host.upkeep.tidy_mirrors(cancelled):
            logs.info("mirror tidied", **asdict(one))

    @cached_property
    def _fetching(self) -> Fetching:
        given = self.host.settings.github
        limits = Limits(given.fetch_timeout_s, given.fetch_size_mb << 20, given.fetch_files)
        return Fetching(self.host.sources, limits)

    def _remote(self, repository: str, *, credentials: bool) -> Remote:
        given = self.host.settings.github
        rules = given.rules[repository]
        url = rules.url or self.forge.fetch_url(repository)
        known = self.forge.credentials(repository) if credentials and url.startswith("https://") else None
        return Remote(repository, url, known, given.allow_local, tuple(rules.submodules), rules.lfs)


@dataclass(frozen=True)
class HostPreviews:
    """cx.pulls.Previews over a Host."""

    host: Host

    def standing(self, order: Order) -> Standing:
        host, namespace = self.host, order.namespace
        wish = host.store.desired(namespace)
        basis = f"{order.origin} {order.environment} {sorted(order.values)} {host.settings_basis()}"
        if wish and not order.origin.may_have(wish.origin):
            return Standing(False, basis)
        seen = host.observe(namespace)
        ready = bool(
            wish
            and wish.present
            and (wish.commit, wish.origin, wish.environment) == (order.commit, order.origin, order.environment)
            and dict(wish.values) == dict(order.values)
            and wish.host == host.settings_digest(order.origin)
            and settled(wish, seen)
        )
        deployments = [one for one in host.store.deployments(namespace) if one.doing in FRESH]
        serving, took_s = "", None
        for one in reversed(deployments):  # the last one of the revision that serves holds
            if one.revision == seen.route and one.outcome == "ready" and one.finished_at:
                serving, took_s = one.version, one.finished_at - one.started_at
        if wish and wish.present and seen.route == wish.revision:
            serving = wish.commit
        asleep = bool(wish and wish.asleep)
        services, databases = self._services(namespace, seen), _databases(seen)
        release_s = self._release_s(namespace, deployments, seen.route)
        return Standing(ready, basis, asleep, serving, services, databases, took_s, release_s)

    def _release_s(self, namespace: Namespace, deployments: Sequence[Deployment], route: str) -> float | None:
        """Of the last attempt for the revision that serves."""
        wanted = [one.id for one in deployments if one.revision == route]
        took: dict[int, float] = {}
        for taken in self.host.store.steps(namespace):
            if taken.step.partition(" ")[0] == Do.RELEASE:
                took[taken.deployment] = took.get(taken.deployment, 0.0) + taken.duration_s
        return next((took[one] for one in wanted if one in took), None)

    def _services(self, namespace: Namespace, seen: Observed) -> tuple[ServiceShown, ...]:
        settings = self.host.settings
        routed = set(self.host.router.observe(namespace).hosts) if seen.route else set()
        found: dict[str, ServiceShown] = {}
        for one in seen.of(seen.route) if seen.route else ():
            if one.role not in ("service", "pinned"):
                continue
            host = settings.host(namespace, one.service)
            url = settings.base_url(host) if host in routed else ""
            state = one.state if one.starting else one.health or one.state  # nobody looks again when it is healthy
            found[one.service] = ServiceShown(one.service, url, state)
        return tuple(sorted(found.values(), key=lambda one: (not one.url, natural(one.name))))

    def taken(self, namespace: Namespace, origin: Origin, *, to_remove: bool = False) -> bool:
        wish = self.host.store.desired(namespace)
        may = origin.may_remove if to_remove else origin.may_have
        return wish is not None and not may(wish.origin)

    def want_absent(self, namespace: Namespace, origin: Origin) -> None:
        self.host.store.want_absent(namespace, time.time(), origin)

    def over(self, namespace: Namespace, commit: str, origin: Origin) -> bool:
        wish = self.host.store.desired(namespace)
        mine = wish is not None and (wish.commit, wish.origin) == (commit, origin)
        return mine and namespace in self.host.upkeep.expired(time.time())

    def extend(self, namespace: Namespace, lasting_s: float, origin: Origin) -> str:
        try:
            at = self.host.extend(namespace, lasting_s, by=origin)
        except Owned as exc:
            raise NotFound(f"{namespace} is not this pull request's") from exc
        return datetime.fromtimestamp(at or 0, UTC).strftime("%Y-%m-%d %H:%M UTC")

    def unwell(self, repository: str) -> set[Namespace]:
        mine = [one for one in self.host.store.all_desired() if one.origin.repository == repository]
        with ThreadPoolExecutor(4) as pool:
            seen = list(pool.map(lambda one: self.host.observe(one.namespace), mine))
        return {wish.namespace for wish, there in zip(mine, seen, strict=True) if not settled(wish, there)}

    def values(self, repository: str) -> Mapping[str, str]:
        rules = self.host.settings.github.rules.get(repository)
        return {name: given.reveal() for name, given in rules.env.items()} if rules else {}

    def log(self, namespace: Namespace, service: str, origin: Origin) -> Sequence[str]:
        from cx.docker.logs import last_lines

        if self.taken(namespace, origin):
            raise NotFound(f"{namespace} is not this pull request's")
        running = [one for one in self.host.workloads.observe(namespace).containers if one.service == service]
        running = [one for one in running if one.role != "pooler"]
        if not running:
            raise NotFound(f"it has no service {shown(service)}")
        return [line.rstrip() for line in last_lines(self.host.engine, running[0], LOG_LINES)]


def _databases(seen: Observed) -> tuple[DatabaseShown, ...]:
    return tuple(DatabaseShown(one.source, _golden_at(one.golden)) for one in seen.clones if one.complete)


def _golden_at(golden: str) -> str:
    """When the golden was made, which its name ends with."""
    stamp = golden.rpartition("__")[2]
    if not stamp.isdigit() or len(stamp) > 11:
        return ""
    return datetime.fromtimestamp(int(stamp), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
