"""A host in memory: what a host answers, without an engine. Its services are those that the tree's names say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from cx.core.errors import CxError, Invalid, NotFound
from cx.core.history import FRESH, SERVING, Deployment, StepTaken
from cx.core.names import Namespace, shown
from cx.core.origin import NOBODY, Origin, owned
from cx.core.ports import Reporter
from cx.core.previews import DatabaseUse, Detail, Ending, History, LogLine, Logs, Row, ServiceUse, Wanted
from cx.core.source import Source
from cx.core.state import Desired
from cx.git.program import git, run

STEPS = ("read the project", "build app", "clone app", "network and volumes", "start", "healthy", "probe", "publish")


@dataclass
class MemoryPreviews:
    """cx.core.previews.Served. Every namespace has one service, `app`, and a clone of the database `app`.

    `failing`: the step at which the next change of a namespace fails, and the error that it raises, once.
    `notes`: what every deployment has to say.
    `asked`: pull requests that were asked for. `repositories` are those that are followed. `clock`: Unix seconds.
    """

    domain: str = "localhost:8080"
    repositories: tuple[str, ...] = ("acme/shop",)
    clock: Callable[[], float] = time.time
    failing: dict[str, CxError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    asked: list[tuple[str, int]] = field(default_factory=list)
    printed: dict[str, list[str]] = field(default_factory=dict)
    wishes: dict[Namespace, Desired] = field(default_factory=dict)
    _trees: dict[Namespace, set[str]] = field(default_factory=dict, repr=False)
    _deployments: dict[Namespace, list[Deployment]] = field(default_factory=dict, repr=False)
    _steps: dict[Namespace, list[StepTaken]] = field(default_factory=dict, repr=False)
    _turn: threading.RLock = field(default_factory=threading.RLock, repr=False)

    # --- looking
    def overview(self) -> list[Row]:
        with self._turn:
            return [self._row(self.wishes[name]) for name in sorted(self.wishes)]

    def detail(self, namespace: Namespace) -> Detail:
        with self._turn:
            wish = self._wanted(namespace)
            state = "exited" if wish.asleep else "running"
            return Detail(
                namespace.name, self._state(wish), wish.version, str(wish.origin), list(self._urls(wish)),
                [ServiceUse("app", "service", state, wish.revision, 0 if wish.asleep else 1 << 20, 0.0)],
                [DatabaseUse("app", f"cx__{namespace.name.replace('-', '_')}__app", 8 << 20, self.clock())],
                list(self._deployments.get(namespace, ())), wish.expires_at,
            )  # fmt: skip

    def history(self, namespace: Namespace) -> History:
        with self._turn:
            self._wanted(namespace)
            return History(list(self._deployments.get(namespace, ())), list(self._steps.get(namespace, ())))

    def urls(self, namespace: Namespace) -> tuple[str, ...]:
        with self._turn:
            return self._urls(self._wanted(namespace))

    def owner(self, namespace: Namespace) -> Origin:
        return self.wishes[namespace].origin if namespace in self.wishes else NOBODY

    def there(self, namespace: Namespace) -> bool:
        return namespace in self.wishes

    def logs(self, namespace: Namespace, service: str, *, follow: bool, tail: int) -> Logs:
        self._wanted(namespace)
        if service not in ("", "app"):
            raise NotFound(f"{namespace} has no service {shown(service)}", remedy=f"`cx show {namespace}` lists them")
        lines = self.printed.get(namespace.name, ["listening"])
        return Logs(
            ("app",), iter([LogLine("app", one) for one in lines[len(lines) - tail if tail < len(lines) else 0 :]])
        )

    # --- changing
    def receive(self, bundle: Path, namespace: Namespace) -> str:
        """The bundle's tree, as git says; nothing of it is kept."""
        self._must_own(namespace)
        done = run(git("bundle", "list-heads", bundle, "refs/cx/bundle"))
        if done.returncode or not done.stdout.strip():
            raise Invalid("the upload", "", "is not a git bundle with refs/cx/bundle")
        tree = done.stdout.split()[0]
        with self._turn:
            self._trees.setdefault(namespace, set()).add(tree)
        return tree

    def uploaded(self, namespace: Namespace, tree: str, commit: str, dirty: bool) -> Source:
        if tree not in self._trees.get(namespace, ()):
            raise NotFound(f"tree {tree[:12]} was not uploaded for {namespace}", remedy="upload it first")
        return Source(f"remote-{namespace}", Origin.upload(namespace), commit, tree, dirty)

    def read(self, namespace: Namespace, path: Path, ref: str) -> Source:
        raise Invalid("PATH", "", "there are no folders in memory", remedy="upload it through the API")

    def ask(self, repository: str, number: int) -> int:
        if repository.lower() not in self.repositories:
            raise NotFound(f"{shown(repository)} is not followed by this host", remedy="add it")
        with self._turn:
            self.asked.append((repository.lower(), number))
            return len(self.asked)

    def deploy(self, namespace: Namespace, source: Source, wanted: Wanted, report: Reporter) -> Ending:
        with self._turn:
            self._must_own(namespace)
            before = self.wishes.get(namespace)
            wish = Desired(
                namespace, True, source.project, source.origin, source.commit, source.tree, source.dirty,
                wanted.environment, dict(wanted.values), expires_at=before.expires_at if before else None,
            )  # fmt: skip
            same = (
                before is not None
                and before.revision == wish.revision
                and not wanted.reset_data
                and self._state(before) != "failed"
            )
            if same and before is not None and not before.asleep:
                return self._told(wish, report, (), "unchanged")
            self.wishes[namespace] = wish
            if same:
                return self._told(wish, report, ("wake", "healthy", "publish"), "awake")
            fresh = tuple("reset app" if wanted.reset_data and one == "clone app" else one for one in STEPS)
            return self._told(wish, report, fresh, "ready")

    def delete(self, namespace: Namespace, report: Reporter) -> Ending:
        with self._turn:
            self._must_own(namespace)
            wish = replace(self._wanted(namespace), present=False)
            ending = self._told(wish, report, ("withdraw route", "remove containers", "forget"), "deleted")
            self.wishes.pop(namespace)
            self._deployments.pop(namespace, None)
            self._steps.pop(namespace, None)
            return ending

    def reset(self, namespace: Namespace, database: str, report: Reporter) -> Ending:
        with self._turn:
            wish = self._wanted(namespace)
            self._must_own(namespace)
            if database not in ("", "app"):
                raise NotFound(f"{namespace} has no database {shown(database)}", remedy="it has app")
            self.wishes[namespace] = replace(wish, asleep=False)
            return self._told(self.wishes[namespace], report, ("reset app", *STEPS[4:]), "ready")

    def sleep(self, namespace: Namespace, report: Reporter) -> Ending:
        return self._rest(namespace, report, True, ("route to sleep", "stop"), "asleep")

    def wake(self, namespace: Namespace, report: Reporter) -> Ending:
        return self._rest(namespace, report, False, ("wake", "healthy", "publish"), "awake")

    def interrupted(self) -> None:
        """Changes end at once here."""

    def extend(self, namespace: Namespace, lasting_s: float | None) -> float | None:
        with self._turn:
            wish = self._wanted(namespace)
            at = None if lasting_s is None else max(wish.expires_at or 0.0, self.clock() + lasting_s)
            self.wishes[namespace] = replace(wish, expires_at=at)
            return at

    # --- parts
    def _rest(
        self, namespace: Namespace, report: Reporter, asleep: bool, steps: tuple[str, ...], outcome: str
    ) -> Ending:
        with self._turn:
            wish = self._wanted(namespace)
            self.wishes[namespace] = replace(wish, asleep=asleep)
            same = wish.asleep == asleep
            return self._told(self.wishes[namespace], report, () if same else steps, "unchanged" if same else outcome)

    def _must_own(self, namespace: Namespace) -> None:
        """What was not uploaded is not an uploader's."""
        if not Origin.upload(namespace).may_have(self.owner(namespace)):
            raise owned(namespace, self.owner(namespace))

    def _wanted(self, namespace: Namespace) -> Desired:
        if namespace not in self.wishes:
            raise NotFound(f"{namespace} does not exist", remedy="`cx list` shows what does")
        return self.wishes[namespace]

    def _told(self, wish: Desired, report: Reporter, steps: tuple[str, ...], outcome: str) -> Ending:
        began, error = self.clock(), None
        number, taken = len(self._deployments.get(wish.namespace, ())) + 1, list[StepTaken]()
        report.began(wish)
        for step in steps:
            report.step_began(step)
            error = self.failing.pop(step, None)
            taken.append(StepTaken(number, step, self.clock(), 0.01, "failed" if error else "done"))
            report.step_ended(step, taken[-1].started_at, taken[-1].duration_s, taken[-1].outcome)
            if error:
                break
        report.ended("failed" if error else outcome, error)
        if wish.present and steps:
            before = next((one for one in self._deployments.get(wish.namespace, ()) if one.doing in FRESH), None)
            again = before is not None and before.revision == wish.revision and "reset app" in steps
            doing = "sleep" if wish.asleep else "wake" if steps[0] == "wake" else "reset" if again else "deploy"
            kept = self._deployments.setdefault(wish.namespace, [])
            self._steps.setdefault(wish.namespace, []).extend(taken)
            kept.insert(
                0,
                Deployment(
                    number, wish.namespace.name, wish.revision, wish.version, began, self.clock(),
                    "failed" if error else outcome, str(error or ""), error.log if error else (),
                    doing,
                ),
            )  # fmt: skip
        if error:
            raise error
        notes = self.notes if outcome in ("ready", "awake") else ()
        return Ending(outcome, self._urls(wish) if wish.present else (), notes)

    def _urls(self, wish: Desired) -> tuple[str, ...]:
        return (f"http://{wish.namespace}-app.{self.domain}",)

    def _state(self, wish: Desired) -> str:
        last = next((one for one in self._deployments.get(wish.namespace, ()) if one.doing in SERVING), None)
        return "asleep" if wish.asleep else "failed" if last and last.outcome == "failed" else "ready"

    def _row(self, wish: Desired) -> Row:
        last = next((one for one in self._deployments.get(wish.namespace, ()) if one.doing in FRESH), None)
        running = "0/1" if wish.asleep else "1/1"
        return Row(
            wish.namespace.name, self._state(wish), wish.version, running, 1, last.finished_at if last else None,
            self._urls(wish)[0], wish.expires_at,
        )  # fmt: skip
