"""cx.core.previews.Previews over the host of this machine: with passes in this process, or each in one of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Semaphore
from typing import TYPE_CHECKING, Any

import msgspec

from cx.core.errors import Invalid, NotFound, Retryable
from cx.core.events import AnyEvent, Failed, Retold
from cx.core.names import Namespace, shown
from cx.core.origin import NOBODY, Origin
from cx.core.ports import Reporter
from cx.core.previews import Detail, Ending, History, LogLine, Logs, Row, Wanted
from cx.core.source import Source
from cx.host import Host, view
from cx.host.recording import Recorded

if TYPE_CHECKING:
    from cx.pulls import Order


@dataclass(frozen=True)
class LocalPreviews:
    """Everything here and now, as the command line has it."""

    host: Host
    _begun: list[Recorded] = field(default_factory=list, init=False, repr=False)

    # --- looking
    def overview(self) -> list[Row]:
        return view.overview(self.host)

    def detail(self, namespace: Namespace) -> Detail:
        return view.detail(self.host, namespace)

    def history(self, namespace: Namespace) -> History:
        self.host.existing(namespace)
        return History(self.host.history(namespace), self.host.store.steps(namespace))

    def urls(self, namespace: Namespace) -> tuple[str, ...]:
        self.host.existing(namespace)
        return self._urls(namespace)

    def owner(self, namespace: Namespace) -> Origin:
        return self.host.owner(namespace)

    def there(self, namespace: Namespace) -> bool:
        return self.host.store.desired(namespace) is not None or self._is_left(namespace)

    def logs(self, namespace: Namespace, service: str, *, follow: bool, tail: int) -> Logs:
        found = self.host.workloads.observe(namespace).containers
        containers = [one for one in found if service in ("", one.service, one.name)]
        if not containers:
            raise NotFound(
                f"{namespace} has no service {shown(service)}" if service else f"{namespace} has no containers",
                remedy=f"`cx show {namespace}` lists what it has",
            )
        from cx.docker.logs import log_lines

        lines = log_lines(self.host.engine, containers, follow=follow, tail=tail)
        return Logs(tuple(one.service for one in containers), (LogLine(one.service, line) for one, line in lines))

    # --- changing
    def read(self, namespace: Namespace, path: Path, ref: str) -> Source:
        self.host.make_ready()
        return self.host.read_source(path, ref)

    def deploy(self, namespace: Namespace, source: Source, wanted: Wanted, report: Reporter) -> Ending:
        before = self.host.owner(namespace)
        self.host.want(
            namespace,
            source,
            environment=wanted.environment,
            values=wanted.values,
            reset_data=wanted.reset_data,
            take_over=wanted.take_over,
        )
        if wanted.take_over:
            self.host.tell_pull(namespace, before)
        what = f"deploy {source.commit[:8] or source.tree[:8]}"
        return self.settle(namespace, report, what, by=source.origin)

    def delete(self, namespace: Namespace, report: Reporter) -> Ending:
        self.host.want_absent(namespace, self.acting(namespace))
        return self.settle(namespace, report, "delete", by=self.acting(namespace))

    def reset(self, namespace: Namespace, database: str, report: Reporter) -> Ending:
        self.host.wanted(namespace)
        clones = [one.source for one in self.host.databases.observe(namespace)]
        if not clones:
            raise NotFound(f"{namespace} has no database", remedy="`cx db list` shows what there is")
        if database and database not in clones:
            raise NotFound(f"{namespace} has no database {shown(database)}", remedy=f"it has {', '.join(clones)}")
        self.host.store.want_fresh_data(namespace, self.acting(namespace))
        return self._told(namespace, self.settle(namespace, report, "reset its data", by=self.acting(namespace)))

    def sleep(self, namespace: Namespace, report: Reporter) -> Ending:
        self.host.want_asleep(namespace, True)
        return self._told(namespace, self.settle(namespace, report, "sleep"))

    def wake(self, namespace: Namespace, report: Reporter) -> Ending:
        self.host.want_asleep(namespace, False)
        return self._told(namespace, self.settle(namespace, report, "wake"))

    def extend(self, namespace: Namespace, lasting_s: float | None) -> float | None:
        return self.host.extend(namespace, lasting_s)

    def interrupted(self) -> None:
        for one in self._begun:
            one.interrupted()

    # --- parts
    def _is_left(self, namespace: Namespace) -> bool:
        """Of what cannot be seen nothing is told: deleting it looks again."""
        seen, silent = self.host.reconciler.reachable(namespace)
        return bool(seen.leftovers()) or silent is not None

    def _urls(self, namespace: Namespace) -> tuple[str, ...]:
        return tuple(self.host.settings.base_url(one) for one in self.host.router.observe(namespace).hosts)

    def acting(self, namespace: Namespace) -> Origin | None:
        """On whose behalf data is thrown away, as in Store: here the host's owner asks for it."""
        return None

    def settle(self, namespace: Namespace, report: Reporter, why: str, *, by: Origin | None = None) -> Ending:
        outcome = self.host.settle(namespace, self._recorded(report), why, by=by)
        return self._ending(namespace, outcome.outcome, outcome.notes)

    def _told(self, namespace: Namespace, ending: Ending) -> Ending:
        self.host.tell_pull(namespace, self.host.owner(namespace))
        return ending

    def bring_data(
        self,
        namespace: Namespace,
        doing: str,
        what: str,
        bring: Callable[[], None],
        report: Reporter,
        *,
        reads: Collection[Namespace] = (),
    ) -> Ending:
        """`bring` gives the namespace other data; then the pass that its release command runs in. `doing`: restore or
        branch. Nothing else happens meanwhile to the namespace, nor to those that `bring` reads."""
        recorded = self._recorded(report)
        with ExitStack() as locks:
            for name in sorted({one.name for one in (namespace, *reads)}):  # two that read each other wait in turn
                locks.enter_context(self.host.lock(name, what, wait_s=60))
            recorded.data(doing, what, bring)
        outcome = self.host.settle(namespace, recorded, what)
        return self._ending(namespace, outcome.outcome, outcome.notes)

    def _recorded(self, report: Reporter) -> Recorded:
        recorded = Recorded(self.host.store, report)
        self._begun.append(recorded)
        return recorded

    def _ending(self, namespace: Namespace, outcome: str, notes: tuple[str, ...]) -> Ending:
        return Ending(outcome, () if outcome == "deleted" else self._urls(namespace), notes)


def never() -> bool:
    return False


@dataclass(frozen=True)
class ServedPreviews(LocalPreviews):
    """For the API. What a project brings is handled by a process of its own, which gets no token of ours."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _places: dict[str, Semaphore] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._places["all"] = Semaphore(self.host.settings.api.at_once)

    def receive(self, bundle: Path, namespace: Namespace) -> str:
        from cx.git import bundles
        from cx.git.fetching import Limits

        self.host.store.must_be_free_for(namespace, Origin.upload(namespace))
        given = self.host.settings.github
        limits = Limits(given.fetch_timeout_s, given.fetch_size_mb << 20, given.fetch_files)
        with self.host.mirror_lock(bundles.project_of(namespace), "take an upload", wait_s=60):
            return bundles.receive(self.host.sources, limits, namespace, bundle)

    def uploaded(self, namespace: Namespace, tree: str, commit: str, dirty: bool) -> Source:
        from cx.git import bundles

        return bundles.uploaded(self.host.sources, namespace, tree, commit, dirty)

    def ask(self, repository: str, number: int) -> int:
        from cx.pulls.values import PullId
        from cx.store.deliveries import Deliveries

        if repository.lower() not in self.host.settings.github.rules:
            raise NotFound(
                f"{shown(repository)} is not followed by this host", remedy="add it to [github.repositories]"
            )
        if number < 1:
            raise Invalid("number", str(number), "should be the number of a pull request")
        box, pull = Deliveries(self.host.database), PullId(repository.lower(), number)
        box.ask(pull)
        return box.position(pull)

    def deploy(self, namespace: Namespace, source: Source, wanted: Wanted, report: Reporter) -> Ending:
        from cx.pulls import Order

        order = Order(
            namespace, "reset" if wanted.reset_data else "deploy", source.project, source.origin, source.commit,
            source.tree, wanted.environment, wanted.values, source.dirty,
        )  # fmt: skip
        return self._job(order, report)

    def acting(self, namespace: Namespace) -> Origin | None:
        """Whoever has a token: what a folder of the host or a pull request has deployed is not theirs to throw away."""
        return Origin.upload(namespace)

    def settle(self, namespace: Namespace, report: Reporter, why: str, *, by: Origin | None = None) -> Ending:
        from cx.pulls import Order

        return self._job(Order(namespace, "settle", origin=by or NOBODY), report)

    def _job(self, order: Order, report: Reporter) -> Ending:
        from cx.host.following import job_environment
        from cx.host.jobs.running import Jobs

        retold = Retold(report)
        last: list[AnyEvent] = []
        notes: list[str] = []

        def told(event: Mapping[str, Any]) -> None:
            known = msgspec.convert(event, AnyEvent)
            if isinstance(known, Failed):
                last.append(known)
            elif ending := retold.take(known):
                notes.extend(ending.notes)

        with self._places["all"]:
            ended = Jobs(job_environment(self.environ)).run(order, never, told)
        for failed in last:
            retold.take(failed)  # raises
        if ended.outcome in ("failed", "retry", "cancelled"):
            raise Retryable(ended.message or "it was cut off", remedy="try again", log=ended.log)
        return self._ending(order.namespace, ended.outcome, tuple(notes))
