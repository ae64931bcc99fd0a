"""What people do with the data of a clone that is a volume: keep it, bring it back, hand it on, look at it.

A copy is taken while nothing runs on what it is taken of.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from docker.errors import APIError

from cx.core.errors import Invalid, NotFound, Terminal
from cx.core.names import Namespace
from cx.core.sizes import size_bytes
from cx.data.errors import GoldenMissing, SnapshotMissing
from cx.data.kinds.table import kind_of
from cx.data.shared.comparing import Difference, Rows
from cx.data.shared.naming import check_snapshot
from cx.data.values import Snapshot
from cx.data.volumes.clones import EngineClones, inherited, snapshots_of
from cx.data.workbench.values import DATA, Compared, Spec, Volume
from cx.data.workbench.volumes import mount
from cx.docker import output
from cx.docker.connection import translated
from cx.docker.files import tarred

_START_TIMEOUT_S = 60
Locked = Callable[[Namespace, str], AbstractContextManager[None]]


@dataclass(frozen=True)
class EngineCopies:
    """`lock` is the namespace's: who dumps or compares takes it; who calls what changes something holds it already."""

    clones: EngineClones
    lock: Locked

    # --- snapshots and branches
    def snapshots(self) -> tuple[Snapshot, ...]:
        """Of all namespaces, the oldest of each first. Sizes are those of when they were taken."""
        found, _ = snapshots_of([one for one in self.clones.volumes.look() if one.role == "snapshot"])
        return tuple(
            Snapshot(one.namespace, one.source, one.snapshot, one.name, one.created_at, one.size_bytes)
            for one in found
            if one.namespace and one.created_at
        )

    def snapshot(self, namespace: Namespace, source: str, name: str) -> None:
        """What the clone holds now is kept as `name`, in the place of an older snapshot of that name.

        What runs on the clone is stopped meanwhile. Raises GoldenMissing (there is no clone), NoSpace.
        """
        check_snapshot(name)
        spec = self.clones.spec(source)
        self.clones.sweep(namespace, spec)
        clone = self._clone(namespace, source)
        older = [one for one in self.clones.of(namespace, source, "snapshot") if one.snapshot == name]
        kept, size = self._kept(namespace, spec, clone)
        self.clones.volumes.complete(kept, size_bytes=size, snapshot=name, **inherited(clone))
        self.clones.checkpoint("snapshot:marked")
        for one in older:
            self.clones.volumes.remove(one, spec.image)
        self._await_servers(namespace, spec)

    def restore(self, namespace: Namespace, source: str, name: str) -> None:
        """The clone holds what its snapshot `name` does; what ran on the old data is ended. Safe to repeat.

        Raises SnapshotMissing, NoSpace; the clone serves on as it was then.
        """
        spec = self.clones.spec(source)
        self.clones.sweep(namespace, spec)
        found = {one.snapshot: one for one in self.clones.of(namespace, source, "snapshot")}
        if name not in found:
            known = ", ".join(sorted(found)) or "none"
            raise SnapshotMissing(
                f"{namespace} has no snapshot {name} of {source}; it has {known}", remedy="`cx db list`"
            )
        self._replace(namespace, spec, found[name])

    def forget(self, namespace: Namespace, source: str, name: str) -> None:
        """The snapshot `name` is gone. Safe to repeat."""
        spec = self.clones.spec(source)
        self.clones.sweep(namespace, spec)
        for one in self.clones.of(namespace, source, "snapshot"):
            if one.snapshot == name:
                self.clones.volumes.remove(one, spec.image)

    def branch(self, namespace: Namespace, source: str, of: Namespace) -> None:
        """The namespace's clone holds what that of `of` does, which goes on with its own. Safe to repeat.

        What runs on the clone of `of` is stopped meanwhile. Raises GoldenMissing (there is none), NoSpace.
        """
        spec = self.clones.spec(source)
        self.clones.sweep(namespace, spec)
        self._replace(namespace, spec, self._clone(of, source))
        self._await_servers(of, spec)

    # --- looking
    def dump(self, namespace: Namespace, source: str, write: output.Write) -> None:
        """`write` got a dump by the engine's own tool; of a volume of the project's, a tar of it at rest."""
        spec = self.clones.spec(source)
        clone, doing = self._clone(namespace, source), f"dump {source} of {namespace}"
        volumes = self.clones.volumes
        if argv := kind_of(spec.facts.name).dump(clone):
            output.run(volumes.engine, self._server(namespace, spec), argv, write, doing=doing)
            return
        with self._aside(namespace, spec, clone) as copy, translated(doing):
            carrier = volumes.engine.api.create_container(
                spec.image,
                entrypoint=["/none"],
                labels=volumes.names.labels(namespace, "copier", database=source),
                network_disabled=True,
                host_config=volumes.engine.api.create_host_config(mounts=[mount(copy.name, "/from", read_only=True)]),
            )["Id"]
            try:
                output.tar(volumes.engine, carrier, "/from/data", write, doing=doing)
            finally:
                volumes.remove_container(carrier)

    def compare(self, namespace: Namespace, source: str) -> Difference:
        """Schema and row counts beside those of the newest golden, of which a server runs on a copy meanwhile."""
        spec = self.clones.spec(source)
        clone = self._clone(namespace, source)
        kind = kind_of(spec.facts.name)
        how = kind.compared(spec, clone)
        if how is None:
            raise Invalid(source, "", f"is of {spec.facts.name}, which has no tables to compare")
        server = self._server(namespace, spec)
        golden = self.clones.golden(spec)
        if golden is None:
            raise GoldenMissing(source)
        with self._aside(namespace, spec, golden) as copy, self._serving(namespace, spec, copy) as beside:
            before = self._seen(beside, kind.compared(spec, golden) or how)
        after = self._seen(server, how)
        schema = tuple(difflib.unified_diff(before[0], after[0], "golden", clone.name, lineterm="", n=2))
        counted = (Rows(one, before[1].get(one), after[1].get(one)) for one in sorted({*before[1], *after[1]}))
        return Difference(golden.name, schema, tuple(one for one in counted if one.golden != one.clone))

    # --- parts
    def _clone(self, namespace: Namespace, source: str) -> Volume:
        clone = self.clones.complete(namespace, source)
        if clone is None:
            raise GoldenMissing(source, f"{namespace} has no database {source}", "`cx db list` shows what there is")
        return clone

    def _replace(self, namespace: Namespace, spec: Spec, origin: Volume) -> None:
        old = self.clones.of(namespace, spec.name)
        self.clones.put(namespace, spec, origin)
        self.clones.remove_old(spec, old)

    def _kept(self, namespace: Namespace, spec: Spec, origin: Volume) -> tuple[Volume, int]:
        """A half-made snapshot with all that `origin` holds, and its bytes."""
        volumes = self.clones.volumes
        kept = volumes.create("snapshot", spec.name, spec.way, spec.image, namespace)
        self.clones.checkpoint("snapshot:volume")
        size = self.clones.fill(kept, origin, spec)
        self.clones.checkpoint("snapshot:copied")
        return kept, size

    @contextmanager
    def _aside(self, namespace: Namespace, spec: Spec, origin: Volume) -> Iterator[Volume]:
        """A copy that is gone at the end: a half-made snapshot, so that the next pass sweeps it where this dies."""
        with self.lock(namespace, f"copy {spec.name}"):
            self.clones.sweep(namespace, spec)
            copy, _ = self._kept(namespace, spec, origin)
            try:
                yield copy
            finally:
                self.clones.volumes.remove(copy, spec.image)

    @contextmanager
    def _serving(self, namespace: Namespace, spec: Spec, copy: Volume) -> Iterator[str]:
        """The container of a server on `copy`, without a network."""
        volumes, kind = self.clones.volumes, kind_of(spec.facts.name)
        api, how = volumes.engine.api, kind.compared(spec, copy)
        assert how is not None  # noqa: S101 - else nobody asks
        with translated(f"start a server of {spec.image}"):
            made = api.create_container(
                spec.image,
                entrypoint=["sh", "-euc", how.serve],
                user=kind.user,
                labels=volumes.names.labels(namespace, "copier", database=spec.name),
                host_config=api.create_host_config(
                    mounts=[mount(copy.name, DATA, subpath="data")],
                    network_mode="none",
                    mem_limit=size_bytes(spec.memory),
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges"],
                ),
            )["Id"]
        try:
            with translated(f"start a server of {spec.image}"):
                if how.files:
                    api.put_archive(made, "/", tarred(how.files))
                api.start(made)
            self._await(made, spec, "a copy of the golden")
            yield made
        finally:
            volumes.remove_container(made)

    def _seen(self, container: str, how: Compared) -> tuple[list[str], dict[str, int]]:
        """The schema's lines, and the rows of each table."""
        engine = self.clones.volumes.engine
        schema = output.text(engine, container, how.schema, doing="read the schema").splitlines()
        counts = output.text(engine, container, how.counts, doing="count rows").splitlines()
        pairs = [line.rpartition("\t") for line in counts if line]
        return (
            [plain for line in schema if (plain := how.noise.sub("", line))],
            {table: int(rows) for table, _, rows in pairs if rows.isdigit()},
        )

    def _server(self, namespace: Namespace, spec: Spec) -> str:
        """The container of the server on the clone. Raises NotFound where none runs."""
        found = self._servers(namespace, spec)
        if not found:
            raise NotFound(
                f"{namespace}: no server runs on {spec.name}", remedy=f"`cx wake {namespace}`, or deploy again"
            )
        return found[0]

    def _servers(self, namespace: Namespace, spec: Spec) -> list[str]:
        volumes = self.clones.volumes
        labels = volumes.names.labels(namespace, "server", database=spec.name)
        with translated("list containers"):
            found = volumes.engine.api.containers(filters={"label": [f"{k}={v}" for k, v in labels.items()]})
        return [one["Id"] for one in found]

    def _await_servers(self, namespace: Namespace, spec: Spec) -> None:
        for one in self._servers(namespace, spec):
            self._await(one, spec, str(namespace))

    def _await(self, container: str, spec: Spec, whose: str) -> None:
        """The server takes connections. Raises Terminal with its last lines."""
        api = self.clones.volumes.engine.api
        until = time.monotonic() + _START_TIMEOUT_S
        while True:
            with translated(f"ask the server of {spec.name}"):
                running = api.inspect_container(container)["State"]["Running"]
                try:
                    made = api.exec_create(container, list(kind_of(spec.facts.name).alive))
                    api.exec_start(made["Id"])
                    if api.exec_inspect(made["Id"])["ExitCode"] == 0:
                        return
                except APIError as exc:
                    if exc.response is None or exc.response.status_code != 409:  # 409: it does not run, or not yet
                        raise
            if not running or time.monotonic() > until:
                with translated("read a log"):
                    lines = api.logs(container, tail=20).decode(errors="replace").splitlines()
                raise Terminal(f"{spec.name}: the server on {whose} takes no connections", log=lines)
            time.sleep(0.1)
