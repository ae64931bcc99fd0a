"""Clones that are volumes: a namespace's own copy of a golden, and the server that runs on it.

The server is no part of the copy: it runs as a service of the namespace's that outlives revisions, and makes its
user and database right each time that it starts, so that a copy is ready as soon as its files are there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import docker.errors

from cx.core.blueprint import DatabaseUse, Pooler, Server
from cx.core.errors import CxError, Invalid, NotFound, Retryable
from cx.core.names import LABEL_ROLE, Namespace
from cx.core.state import Clone
from cx.data.errors import GoldenMissing, GoldenTooOld
from cx.data.kinds.table import kind_of
from cx.data.shared.naming import role_password
from cx.data.values import ObservedClone
from cx.data.workbench.values import DATA, Said, Spec, Volume, nobody
from cx.data.workbench.volumes import ANY_IMAGE, Replaced, Volumes
from cx.docker.connection import translated

_ATTEMPTS = 5
_START = "/cx/start.sh"


@dataclass(frozen=True)
class EngineClones:
    """The clones of one instance, of the sources in `specs`."""

    volumes: Volumes
    specs: Mapping[str, Spec]
    password_key: bytes
    checkpoint: Said = nobody

    # --- what there is
    def observe(self, namespace: Namespace) -> tuple[Clone, ...]:
        mine = [one for one in self.volumes.look() if one.namespace == namespace]
        return _seen(mine)

    def observe_all(self) -> tuple[tuple[ObservedClone, Clone], ...]:
        """Every clone as people are shown it, and as the core sees it. Sizes are those of when it was made."""
        mine = [one for one in self.volumes.look() if one.namespace]
        found = []
        for namespace in sorted({one.namespace for one in mine if one.namespace}):
            for core in _seen([one for one in mine if one.namespace == namespace]):
                one = next(one for one in mine if one.name == core.database)
                shown = ObservedClone(
                    namespace,
                    one.source,
                    one.name,
                    core.complete,
                    one.golden,
                    one.created_at,
                    size_bytes=one.size_bytes,
                    made="volume",
                )
                found.append((shown, core))
        return tuple(found)

    # --- towards presence
    def clone(self, namespace: Namespace, source: str) -> None:
        """The namespace's copy is there: a finished one keeps its data, a half-made one is made anew."""
        spec = self.spec(source)
        self.sweep(namespace, spec)
        found = self.of(namespace, source)
        current = next((one for one in reversed(found) if one.complete), None)
        for one in found:
            if one is not current:
                self.volumes.remove(one, spec.image)
        if current is None:
            self._make(namespace, spec)

    def reset(self, namespace: Namespace, source: str) -> None:
        """A new copy of the newest golden is there; what ran on the old one is ended, and it is gone.

        The old one serves until the new one is complete, and on when that cannot be made.
        """
        spec = self.spec(source)
        self.sweep(namespace, spec)
        old = self.of(namespace, source)
        self._make(namespace, spec)
        self.remove_old(spec, old)

    def drop(self, namespace: Namespace, source: str) -> None:
        """Nothing is left of the copy, of its snapshots, and of the server on it. Safe to repeat."""
        spec = self.specs.get(source)
        self.volumes.remove_workers(source, namespace)
        for one in (*self.of(namespace, source, "snapshot"), *self.of(namespace, source)):
            self.volumes.remove(one, spec.image if spec else ANY_IMAGE)
            self.checkpoint("drop:volume")

    # --- what runs on it
    def pooler(self, namespace: Namespace, use: DatabaseUse, variables: Mapping[str, str]) -> Pooler:
        """The server of the copy, and what an app may be told of it."""
        spec = self.spec(use.name)
        copy = self.complete(namespace, use.name)
        if copy is None:
            raise Retryable(f"{namespace}: its database {use.name} is gone", remedy="deploy again")
        if use.way == "volume":
            return Pooler(use, {}, {}, volumes={use.alias: copy.name})
        kind = kind_of(spec.facts.name)
        _check(use)
        serving = kind.serve(spec, use, variables["password"], copy)
        if serving is None:
            raise Invalid("host configuration", f"databases.{use.name}", "has no server")
        inside = f"cx.{use.name}"
        model = {
            "image": spec.image,
            "entrypoint": ["sh", "-eu", _START],
            "user": kind.user,
            "mem_limit": spec.memory,
            "stop_grace_period": "30s",
            "volumes": [{"type": "volume", "source": inside, "target": DATA}],
        }
        files = {_START: serving.script.encode(), **serving.files}
        return Pooler(use, files, variables, Server(model, serving.ready), {inside: copy.name})

    def password(self, namespace: Namespace, use: DatabaseUse) -> str:
        """The one that the app expects, or one that is the same as long as the key is."""
        if use.password is not None:
            return use.password
        return role_password(self.password_key, f"app of {namespace}/{use.name}")

    def client(self, namespace: Namespace, source: str) -> list[str]:
        """The container of the server on the copy, and the command in it that opens the copy as its administrator;
        empty where there is none."""
        labels = self.volumes.names.labels(namespace, "server", database=source)
        with translated("list containers"):
            found = self.volumes.engine.api.containers(filters={"label": [f"{k}={v}" for k, v in labels.items()]})
        if not found:
            return []
        return [found[0]["Id"], *kind_of(self.spec(source).facts.name).client]

    # --- for whoever makes copies
    def spec(self, source: str) -> Spec:
        try:
            return self.specs[source]
        except KeyError:
            raise NotFound(
                f"database {source} is not in the host configuration", remedy=f"add [databases.{source}]"
            ) from None

    def of(self, namespace: Namespace, source: str, role: str = "clone") -> list[Volume]:
        """The namespace's volumes of this source, the oldest first."""
        wanted = (role, namespace, source)
        return [one for one in self.volumes.look() if (one.role, one.namespace, one.source) == wanted]

    def complete(self, namespace: Namespace, source: str) -> Volume | None:
        """The copy that serves."""
        return next((one for one in reversed(self.of(namespace, source)) if one.complete), None)

    def sweep(self, namespace: Namespace, spec: Spec) -> None:
        """Nobody works for the source, and nothing is left of snapshots that were cut or replaced."""
        self.volumes.remove_workers(spec.name, namespace)
        _, rest = snapshots_of(self.of(namespace, spec.name, "snapshot"))
        for one in rest:
            self.volumes.remove(one, spec.image)

    def put(self, namespace: Namespace, spec: Spec, origin: Volume | None) -> None:
        """A copy of `origin` is there beside what there was, or an empty one. Where it fails: nothing of it."""
        owner = "" if origin else kind_of(spec.facts.name).user
        copy = self.volumes.create("clone", spec.name, spec.way, spec.image, namespace, owner=owner)
        self.checkpoint("clone:volume")
        size = self.fill(copy, origin, spec) if origin else 0
        self.checkpoint("clone:copied")
        self.volumes.complete(copy, size_bytes=size, **inherited(origin))
        self.checkpoint("clone:open")

    def fill(self, copy: Volume, origin: Volume, spec: Spec) -> int:
        """`copy` holds what `origin` does, at rest; its bytes. Where it fails, `copy` is gone."""
        try:
            with self.at_rest(origin):
                return self.volumes.copy(origin, copy, spec.image)
        except BaseException:
            with suppress(CxError):
                self.volumes.remove(copy, spec.image)
            raise

    @contextmanager
    def at_rest(self, copy: Volume) -> Iterator[None]:
        """Nothing runs on `copy`. What did was asked to stop, and runs again afterwards.

        Where this process dies within, the next pass starts it, as it does all that is wanted and stands still.
        """
        if copy.role != "clone":
            yield
            return
        api = self.volumes.engine.api
        with translated("list containers"):
            running = api.containers(filters={"volume": copy.name})
        mine = [one["Id"] for one in running if (one["Labels"] or {}).get(LABEL_ROLE) != "copier"]
        try:
            for one in mine:
                with translated(f"stop what runs on {copy.name}"), suppress(docker.errors.NotFound):
                    api.stop(one)
            self.checkpoint("copy:stopped")
            yield
        finally:
            for one in mine:
                with translated(f"start what runs on {copy.name}"), suppress(docker.errors.NotFound):
                    api.start(one)

    def remove_old(self, spec: Spec, old: list[Volume]) -> None:
        """What ran on the replaced copies is ended, and they are gone."""
        self.checkpoint("reset:cut")
        for one in old:
            self.volumes.remove(one, spec.image)

    # --- parts
    def _make(self, namespace: Namespace, spec: Spec) -> None:
        """As `put`, of the newest golden; or empty, where the engine allows that and there is none."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                self.put(namespace, spec, self.golden(spec))
                return
            except Replaced:
                if not left:
                    raise

    def golden(self, spec: Spec) -> Volume | None:
        """The newest one; None where a copy begins empty. Raises GoldenMissing, GoldenTooOld."""
        finished = [
            one for one in self.volumes.look() if one.role == "golden" and one.source == spec.name and one.complete
        ]
        if not finished:
            if kind_of(spec.facts.name).without_golden and spec.file is None:
                return None
            raise GoldenMissing(spec.name)
        golden = finished[-1]
        assert golden.created_at is not None  # noqa: S101 - it is complete
        if 0 < spec.max_age_s < time.time() - golden.created_at.timestamp():
            raise GoldenTooOld(
                f"database {spec.name}: its golden is older than databases.{spec.name}.max_age_h",
                remedy=f"cx db refresh {spec.name}",
            )
        return golden


def _seen(volumes: list[Volume]) -> tuple[Clone, ...]:
    """For each source its newest complete clone, else what there is of it; complete where no other is there.

    Where only snapshots are left, one of them stands for the clone that is not there.
    """
    found = []
    for source in sorted({one.source for one in volumes}):
        clones = [one for one in volumes if one.source == source and one.role == "clone"]
        snapshots = [one for one in volumes if one.source == source and one.role == "snapshot"]
        newest = ([one for one in clones if one.complete] or clones or snapshots)[-1]
        complete = newest.complete and len(clones) == 1
        _, rest = snapshots_of(snapshots)
        found.append(Clone(source, newest.name, complete, newest.golden, _at(newest), newest.way, bool(rest)))
    return tuple(found)


def snapshots_of(found: list[Volume]) -> tuple[list[Volume], list[Volume]]:
    """The newest complete snapshot of each name, and the rest: half-made ones, and replaced ones."""
    newest = {(one.namespace, one.source, one.snapshot): one.name for one in found if one.complete}
    kept = [one for one in found if one.name in newest.values()]
    return kept, [one for one in found if one.name not in newest.values()]


def inherited(origin: Volume | None) -> dict[str, Any]:
    """What a copy's mark says of where its data come from."""
    if origin is None:
        return {}
    return {"golden": origin.name if origin.role == "golden" else origin.golden, "facts": origin.facts}


def _at(volume: Volume) -> str:
    return volume.created_at.isoformat() if volume.created_at else ""


def _check(use: DatabaseUse) -> None:
    for key, value in (("user", use.user), ("database", use.database), ("password", use.password or "x")):
        if not value.isprintable() or len(value.encode()) > 200:
            raise Invalid(f"database {use.name}", key, "must be printable characters in one line, at most 200 bytes")
        if key == "database" and any(one in value for one in "`/\\"):
            raise Invalid(f"database {use.name}", key, "must not hold a slash or a backquote")
