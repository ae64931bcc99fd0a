"""Clones that are volumes: a namespace's own copy of a golden, and the server that runs on it.

The server is no part of the copy: it runs as a service of the namespace's that outlives revisions, and makes its
user and database right each time that it starts, so that a copy is ready as soon as its files are there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from cx.adapters.docker.engine import translated
from cx.adapters.engines.kinds import KINDS
from cx.adapters.engines.values import DATA, Said, Spec, Volume, nobody
from cx.adapters.engines.volumes import ANY_IMAGE, Volumes
from cx.adapters.postgres.errors import GoldenMissing, GoldenTooOld
from cx.adapters.postgres.naming import role_password
from cx.adapters.postgres.values import ObservedClone
from cx.errors import CxError, Invalid, NotFound, Retryable
from cx.model.blueprint import DatabaseUse, Pooler, Server
from cx.model.names import Namespace
from cx.model.state import Clone

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
        mine = [one for one in self.volumes.look() if one.role == "clone" and one.namespace == namespace]
        return tuple(
            Clone(one.source, one.name, one.complete and whole, one.golden, _at(one), one.way)
            for one, whole in _newest(mine)
        )

    def observe_all(self) -> tuple[tuple[ObservedClone, Clone], ...]:
        """Every clone as people are shown it, and as the core sees it. Sizes are those of when it was made."""
        mine = [one for one in self.volumes.look() if one.role == "clone" and one.namespace]
        found = []
        for namespace in sorted({one.namespace for one in mine if one.namespace}):
            for one, whole in _newest([one for one in mine if one.namespace == namespace]):
                core = Clone(one.source, one.name, one.complete and whole, one.golden, _at(one), one.way)
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
        spec = self._spec(source)
        self.volumes.remove_workers(source, namespace)
        found = self._of(namespace, source)
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
        spec = self._spec(source)
        self.volumes.remove_workers(source, namespace)
        old = self._of(namespace, source)
        self._make(namespace, spec)
        self.checkpoint("reset:cut")
        for one in old:
            self.volumes.remove(one, spec.image)

    def drop(self, namespace: Namespace, source: str) -> None:
        """Nothing is left of the copy, nor of the server on it. Safe to repeat."""
        spec = self.specs.get(source)
        self.volumes.remove_workers(source, namespace)
        for one in self._of(namespace, source):
            self.volumes.remove(one, spec.image if spec else ANY_IMAGE)
            self.checkpoint("drop:volume")

    # --- what runs on it
    def pooler(self, namespace: Namespace, use: DatabaseUse, variables: Mapping[str, str]) -> Pooler:
        """The server of the copy, and what an app may be told of it."""
        spec = self._spec(use.name)
        found = [one for one in self._of(namespace, use.name) if one.complete]
        if not found:
            raise Retryable(f"{namespace}: its database {use.name} is gone", remedy="deploy again")
        copy = found[-1]
        if use.way == "volume":
            return Pooler(use, {}, {}, volumes={use.alias: copy.name})
        kind = KINDS[spec.facts.name]
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
        return [found[0]["Id"], *KINDS[self._spec(source).facts.name].client]

    # --- parts
    def _spec(self, source: str) -> Spec:
        try:
            return self.specs[source]
        except KeyError:
            raise NotFound(
                f"database {source} is not in the host configuration", remedy=f"add [databases.{source}]"
            ) from None

    def _of(self, namespace: Namespace, source: str) -> list[Volume]:
        """The namespace's volumes of this source, the oldest first."""
        return [
            one for one in self.volumes.look() if (one.role, one.namespace, one.source) == ("clone", namespace, source)
        ]

    def _make(self, namespace: Namespace, spec: Spec) -> None:
        """A complete copy of the newest golden is there, or an empty one; where it fails, nothing of it."""
        kind = KINDS[spec.facts.name]
        for attempt in range(_ATTEMPTS):
            golden = self._golden(spec)
            empty = golden is None
            copy = self.volumes.create(
                "clone", spec.name, spec.way, spec.image, namespace, owner=kind.user if empty else ""
            )
            self.checkpoint("clone:volume")
            try:
                size = self.volumes.copy(golden, copy, spec.image) if golden else 0
            except BaseException as exc:
                with suppress(CxError):
                    self.volumes.remove(copy, spec.image)
                if isinstance(exc, Retryable) and attempt + 1 < _ATTEMPTS:
                    continue
                raise
            self.checkpoint("clone:copied")
            self.volumes.complete(
                copy,
                golden=golden.name if golden else "",
                size_bytes=size,
                facts=golden.facts if golden else {},
            )
            self.checkpoint("clone:open")
            return

    def _golden(self, spec: Spec) -> Volume | None:
        """The newest one; None where a copy begins empty. Raises GoldenMissing, GoldenTooOld."""
        finished = [
            one for one in self.volumes.look() if one.role == "golden" and one.source == spec.name and one.complete
        ]
        if not finished:
            if KINDS[spec.facts.name].without_golden and spec.file is None:
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


def _newest(volumes: list[Volume]) -> list[tuple[Volume, bool]]:
    """For each source its newest complete volume, else the newest; and whether nothing else of it is there."""
    found = []
    for source in sorted({one.source for one in volumes}):
        mine = [one for one in volumes if one.source == source]
        newest = ([one for one in mine if one.complete] or mine)[-1]
        found.append((newest, len(mine) == 1))
    return found


def _at(volume: Volume) -> str:
    return volume.created_at.isoformat() if volume.created_at else ""


def _check(use: DatabaseUse) -> None:
    for key, value in (("user", use.user), ("database", use.database), ("password", use.password or "x")):
        if not value.isprintable() or len(value.encode()) > 200:
            raise Invalid(f"database {use.name}", key, "must be printable characters in one line, at most 200 bytes")
        if key == "database" and any(one in value for one in "`/\\"):
            raise Invalid(f"database {use.name}", key, "must not hold a slash or a backquote")
