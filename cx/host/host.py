"""One Docker host: what the command line and the listener do with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from cx import settings as host_settings
from cx.core.errors import NotFound, Owned
from cx.core.history import Deployment
from cx.core.names import Namespace, shown
from cx.core.origin import NOBODY, Origin
from cx.core.ports import Reporter
from cx.core.reconcile import Outcome, Reconciler, no_fault
from cx.core.source import Source
from cx.core.state import Desired, Observed
from cx.host.by_hand import tell_pull
from cx.host.projects import WAIT_S, Projects, Reads
from cx.host.recording import Recorded
from cx.pulls.commands import Verb
from cx.settings import Settings

if TYPE_CHECKING:
    from cx.data.values import ObservedClone, Snapshot
    from cx.data.values import Source as PostgresSource
    from cx.host.goldens import Goldens
    from cx.host.observing import Observing
    from cx.host.upkeep import Upkeep


def load_settings() -> Settings:
    return host_settings.load(host_settings.default_path(os.environ), os.environ)


@dataclass
class Host(Projects):
    """One Docker host with its state."""

    @cached_property
    def reconciler(self) -> Reconciler:
        return Reconciler(
            self.names,
            self.workloads,
            self.databases,
            self.router,
            self.sources,
            self.store,
            self._read,
            self.fault,
        )

    @cached_property
    def upkeep(self) -> Upkeep:
        """What is there for nobody, and how it goes."""
        from cx.host.upkeep import Upkeep

        return Upkeep(self, self.observing)

    @cached_property
    def golden_uses(self) -> Goldens:
        """What people do with goldens, whatever kind they are."""
        from cx.host.goldens import Goldens

        return Goldens(self, self.source)

    @cached_property
    def observing(self) -> Observing:
        from cx.host.observing import Observing

        return Observing(self.workloads, self.databases, self.router)

    # --- what the command line and the listener do
    def up(self, say: Callable[[str], None]) -> None:
        """The host's stack runs as the settings say, and its database server is closed to all but clones."""
        from cx.data.session import prepare, session
        from cx.data.shared import volume

        with self.lock("stack", "start the stack", wait_s=60):
            self.stack.up(say)
            prepare(self.server)
            with session(self.server) as connection:
                volume.tune(connection)
        self.refilling.later()

    def record(self, reporter: Reporter) -> Recorded:
        """`reporter`, and the history beside it."""
        return Recorded(self.store, reporter)

    def make_ready(self) -> None:
        """A deployment is to come: the libraries of engine and database server are loaded while its project is read."""

        def load() -> None:
            import cx.data.databases
            import cx.data.shared.clones
            import cx.data.volumes.clones
            import cx.docker.workloads
            import cx.router.routes  # noqa: F401

        Thread(target=load, daemon=True).start()

    def want(
        self,
        namespace: Namespace,
        source: Source,
        *,
        environment: str,
        values: Mapping[str, str],
        reset_data: bool,
        take_over: bool = False,
    ) -> Desired:
        """The namespace is wanted at `source`: intent only, nothing is done yet.

        What is wrong with the project is found before: it raises Invalid or Refused, and nothing has changed. Raises
        Owned where the namespace is another origin's, unless it is to be taken over with what it has.
        """
        if not take_over:
            self.store.must_be_free_for(namespace, source.origin)
        before = self.store.desired(namespace)
        kept = before if before and before.present else None
        now = time.time()
        wish = Desired(
            namespace,
            True,
            source.project,
            source.origin,
            source.commit,
            source.tree,
            source.dirty,
            environment,
            dict(values),
            self.settings_digest(source.origin),
            reset_data or bool(kept and kept.reset_data),
            expires_at=self._end(kept, now),
        )
        if before is None or not before.present or before.revision != wish.revision:
            self._blueprints[namespace, wish.revision] = self.read_blueprint(wish)
        if self.reader:  # there is no more to read
            self.reader.close()
            self.reader = None
        if before != wish:  # else it is wanted, and its tree is kept: nothing need reach the disk
            self.sources.keep(namespace, source)
            try:
                self.store.want(wish, now, take_over=take_over)
            except Owned:  # since it was asked above
                owner = self.store.desired(namespace)
                if owner is None or owner.project != source.project:
                    self.sources.forget(namespace, source.project)
                raise
            if before and before.project not in ("", wish.project):
                self.sources.forget(namespace, before.project)
        return wish

    def _end(self, kept: Desired | None, now: float) -> float | None:
        """When a namespace that is deployed now may be deleted: a lifetime from now, or later if it was told so."""
        before = kept.expires_at if kept else None
        lifetime_s = self.settings.lifetime_s
        return before if lifetime_s is None else max(before or 0.0, now + lifetime_s)

    def want_absent(self, namespace: Namespace, by: Origin | None = None) -> None:
        """Intent only, as `want`. Raises Owned, as Store says. Where the host's owner wants it, the pull request that
        it is of is told: it would else bring it back."""
        if by is None:
            self.tell_pull(namespace, self.owner(namespace), Verb.DELETE)
        self.store.want_absent(namespace, time.time(), by)

    def owner(self, namespace: Namespace) -> Origin:
        row = self.store.desired(namespace)
        return row.origin if row else NOBODY

    def tell_pull(self, namespace: Namespace, owner: Origin, verb: Verb | None = None) -> None:
        """Somebody on the host has changed the namespace, or is about to do `verb`: `owner`'s pull request is told."""
        tell_pull(self.store, self.settings.github.rules, namespace, owner, verb)

    def want_asleep(self, namespace: Namespace, asleep: bool, by: Origin | None = None) -> None:
        """Intent only, as `want`. Raises NotFound for what is not there, or is being deleted; Owned, as Store says."""
        self.wanted(namespace)
        self.store.want_asleep(namespace, asleep, by)

    def extend(
        self, namespace: Namespace, lasting_s: float | None, now: float | None = None, by: Origin | None = None
    ) -> float | None:
        """The namespace ends `lasting_s` from now, or later if it did so already; with None it has no end.

        Gives the end, in Unix seconds. Raises NotFound; Owned, as Store says.
        """
        before = self.wanted(namespace).expires_at
        now = time.time() if now is None else now
        at = None if lasting_s is None else max(before or 0.0, now + lasting_s)
        self.store.expire(namespace, at, by)
        return at

    def settle(
        self, namespace: Namespace, report: Reporter, why: str, *, by: Origin | None = None, wait_s: float = WAIT_S
    ) -> Outcome:
        """One pass, with the namespace's lock. Raises Busy when it is not to be had within `wait_s`, and
        RouterDown also where nothing had to be done; Owned where by now another than `by` owns it."""

        def waiting(holder: str) -> None:
            report.line("wait", f"{namespace} is {holder}; waiting")

        with self.lock(namespace.name, why, wait_s=wait_s, waiting=waiting):
            self.store.must_own(namespace, by)
            outcome = self.reconciler.reconcile(namespace, report)
        if outcome.outcome == "unchanged":  # nothing was probed
            self.router.must_answer()
        if "clones" in self.__dict__ and self.clones.made:
            self.clones.made.clear()
            self.refilling.later()
        return outcome

    def history(self, namespace: Namespace) -> list[Deployment]:
        """Newest first. An attempt runs under the namespace's lock: one that runs without it has died."""
        running = [one for one in self.store.deployments(namespace) if one.outcome == "running"]
        died = [] if not running or self.is_locked(namespace.name) else running
        found = self.store.deployments(namespace)  # one that has ended meanwhile says so by now
        return [replace(one, outcome="died") if one in died else one for one in found]

    def cut_off(self, namespace: Namespace, outcome: str) -> None:
        """The attempt whose process was killed has ended with `outcome`; one of somebody else's is left alone."""
        if not self.is_locked(namespace.name):
            self.store.cut_off(namespace, time.time(), outcome)

    def observe(self, namespace: Namespace) -> Observed:
        return self.reconciler.observe(namespace)

    def all_clones(self, namespace: Namespace | None = None, *, sizes: bool = False) -> tuple[ObservedClone, ...]:
        """The clones of every engine, of one namespace or of all."""
        shared = self.clones.observe(namespace, sizes=sizes) if namespace else self.clones.observe_all(sizes=sizes)
        own = [one for one, _ in self.engine_clones.observe_all() if namespace in (None, one.namespace)]
        return (*shared, *own)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """The snapshots of all namespaces, of every engine."""
        return (*self.clones.snapshots(sizes=True), *self.engine_copies.snapshots())

    def source(self, name: str) -> PostgresSource:
        """The source `name` of the host configuration. Raises NotFound."""
        from cx.data.values import Source as PostgresSource

        if name not in self.settings.databases:
            known = ", ".join(sorted(self.settings.databases)) or "none"
            raise NotFound(
                f"database {shown(name)} is not in the host configuration (it has {known})",
                remedy=f"add [databases.{shown(name)}] to {host_settings.default_path(os.environ)}",
            )
        given = self.settings.databases[name]
        return PostgresSource(
            name,
            given.source.reveal() if given.source else None,
            Path(given.file) if given.file else None,
            Path(given.sanitise) if given.sanitise else None,
            tuple(given.extensions),
            given.jobs,
            self.masks(given),
            tuple(given.command),
            given.command_image or "",
        )

    def existing(self, namespace: Namespace) -> Desired:
        """The namespace's row. Raises NotFound."""
        wish = self.store.desired(namespace)
        if wish is None:
            raise NotFound(f"{namespace} does not exist", remedy="`cx list` shows what does")
        return wish

    def wanted(self, namespace: Namespace) -> Desired:
        """The row of a namespace that is to be there. Raises NotFound."""
        wish = self.existing(namespace)
        if not wish.present:
            raise NotFound(f"{namespace} is being deleted", remedy="deploy it again first")
        return wish


@contextmanager
def open_host(reader: Reads | None = None) -> Iterator[Host]:
    """The host of the host configuration. Raises Invalid when that is wrong."""
    host = Host(load_settings(), fault_from_environment(), reader)
    try:
        yield host
    finally:
        host.close()


def fault_from_environment() -> Callable[[str], None]:
    """For tests of crash-safety: with CX_TEST_DIE_AT set to the name of a point, the process kills itself there."""
    point = os.environ.get("CX_TEST_DIE_AT")
    if not point:
        return no_fault

    def die(at: str) -> None:
        if at == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return die
