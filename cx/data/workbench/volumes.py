"""Volumes that are goldens, clones or snapshots, and the containers that work on them.

A volume's labels are given when it is made and stay as they are, so its mark, written last, is another volume:
empty, called as the first with `.mark` behind it, with labels that say when the first was complete and of what.
A volume without its mark is half-made. The mark goes first when the volume goes.

A server finds its files at the top of a clone. In a golden and in a snapshot they are in the folder `data`, beside the
file `complete`: the engine makes a volume that is not there, empty, when it is mounted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from docker.errors import APIError, ImageNotFound, NotFound

from cx.core.errors import Retryable, Terminal
from cx.core.kinds import Way
from cx.core.names import (
    LABEL_DATABASE,
    LABEL_INSTANCE,
    LABEL_MARK,
    LABEL_NAMESPACE,
    LABEL_ROLE,
    LABEL_WAY,
    Names,
    Namespace,
)
from cx.data.workbench.values import GOLDEN, Volume
from cx.docker.connection import Engine, EngineRefused, NoSpace, translated

POOL = "/cx-pool"
MARK = ".mark"
ANY_IMAGE = "debian:trixie-slim"  # to remove the folder of a volume whose source is not configured any more
_GONE = 41
_TIMEOUT_S = 3600
_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]

_THERE = f'[ -e "$from/complete" ] || exit {_GONE}; from="$from/data"'
_COPY = """
flag=; if cp --help 2>&1 | grep -q reflink; then flag=--reflink=auto; fi
cp -a $flag "$from/." "$into/"
echo "bytes $(du -sk "$into" | cut -f1)"
"""
_KEPT = 'touch "$to/complete"; sync'
_ROLES = ("golden", "clone", "snapshot")


class Replaced(Retryable):
    """What was to be copied is not there any more."""


@dataclass(frozen=True)
class Ran:
    exit_code: int
    output: tuple[str, ...]


@dataclass(frozen=True)
class Volumes:
    """The volumes of one instance. `pool` is a folder of the engine's host that they lie in, or ""."""

    engine: Engine
    names: Names
    pool: str = ""

    # --- what there is
    def look(self) -> tuple[Volume, ...]:
        """Every golden, clone and snapshot of this instance, half-made ones too; oldest first."""
        with translated("list volumes"):
            listed = self.engine.api.volumes(filters={"label": f"{LABEL_INSTANCE}={self.names.instance}"})["Volumes"]
        labels = {one["Name"]: one["Labels"] or {} for one in listed or ()}
        marks = {name: text.get(LABEL_MARK, "") for name, text in labels.items() if text.get(LABEL_ROLE) == "mark"}
        mine = {name: text for name, text in labels.items() if text.get(LABEL_ROLE) in _ROLES}
        orphans = {  # a mark whose volume was removed by hand
            name.removesuffix(MARK): labels[name]
            | {LABEL_ROLE: "clone" if LABEL_NAMESPACE in labels[name] else "golden"}
            for name in marks
            if name.removesuffix(MARK) not in labels
        }
        found = [_read(name, text, marks.get(name + MARK, "")) for name, text in mine.items()]
        found += [_read(name, text, "") for name, text in orphans.items()]
        return tuple(sorted(found, key=lambda one: one.name))

    # --- making
    def create(
        self, role: str, source: str, way: Way, image: str, namespace: Namespace | None = None, *, owner: str = ""
    ) -> Volume:
        """A new volume, empty and half-made. `owner` of the image owns its top."""
        stamp = f"{time.time_ns() // 1_000_000}"
        if namespace is None:
            name = self.names.golden_volume(source, stamp)
        elif role == "snapshot":
            name = self.names.snapshot_volume(namespace, source, stamp)
        else:
            name = self.names.clone_volume(namespace, source, stamp)
        options: dict[str, str] = {}
        if self.pool:
            options = {"type": "none", "o": "bind", "device": f"{self.pool}/{name}"}
        with translated(f"create volume {name}"):
            self.engine.api.create_volume(
                name, driver="local", driver_opts=options, labels=self._labels(role, source, way, namespace)
            )
        volume = Volume(name, source, role, way, namespace)
        if self.pool:
            self._in_pool(volume, image, 'mkdir -p "$to"', owner)
        elif owner:
            self.run(image, "true", [mount(name, "/to")], self._worker(volume), owner=owner)
        return volume

    def copy(self, origin: Volume, to: Volume, image: str) -> int:
        """`to` holds what `origin` does, as links to the same blocks where its file system can; its bytes.

        Nothing runs on an `origin` that is a clone. Raises Replaced where a golden is gone by now, and NoSpace.
        """
        kept = to.role != "clone"
        script = "\n".join(
            [
                "" if origin.role == "clone" else _THERE,
                'into="$to/data"; mkdir "$into"' if kept else 'into="$to"',
                _COPY,
                _KEPT if kept else "",
            ]
        )
        if self.pool:
            ran = self._in_pool(to, image, f"from={POOL}/{origin.name}\n{script}")
        else:
            # Where the origin is gone by now, the engine makes it anew, empty, and with these labels: half-made.
            labels = self._labels(origin.role, origin.source, origin.way, origin.namespace)
            mounts = [mount(origin.name, "/from", labels, read_only=True), mount(to.name, "/to")]
            ran = self.run(image, f"from=/from to=/to\n{script}", mounts, self._worker(to))
        if ran.exit_code == _GONE:
            raise Replaced(f"{origin.role} {origin.name} was replaced just now", remedy="try again")
        check(ran, f"copy {origin.name}")
        return next((int(line.split()[1]) << 10 for line in ran.output if line.startswith("bytes ")), 0)

    def complete(
        self,
        volume: Volume,
        *,
        golden: str = "",
        size_bytes: int = 0,
        sanitised_by: str = "",
        facts: Mapping[str, str] | None = None,
        snapshot: str = "",
    ) -> None:
        """The volume's mark is there."""
        said = {
            "created": datetime.now(UTC).isoformat(),
            "golden": golden,
            "size_bytes": size_bytes,
            "sanitised_by": sanitised_by,
            "facts": dict(facts or {}),
            "snapshot": snapshot,
        }
        labels = self._labels("mark", volume.source, volume.way, volume.namespace) | {LABEL_MARK: json.dumps(said)}
        with translated(f"mark {volume.name}"):
            self.engine.api.create_volume(volume.name + MARK, labels=labels)

    # --- removing
    def remove(self, volume: Volume, image: str, *, force: bool = True) -> bool:
        """Nothing is left of `volume`; what runs on it is ended first, with `force`. Safe to repeat.

        False when somebody still reads it, and without `force`.
        """
        with translated(f"remove volume {volume.name}"):
            users = self.engine.api.containers(all=True, filters={"volume": volume.name})
            if users and not force:
                return False
            for one in users:
                self.remove_container(one["Id"])
            with suppress(NotFound):
                self.engine.api.remove_volume(volume.name + MARK)
        if self.pool:
            self._in_pool(volume, image, 'rm -rf "$to"')
        with translated(f"remove volume {volume.name}"):
            try:
                self.engine.api.remove_volume(volume.name)
            except NotFound:
                pass
            except APIError as exc:
                if exc.response is None or exc.response.status_code != 409 or force:
                    raise
                return False
        return True

    def remove_workers(self, source: str, namespace: Namespace | None, role: str = "copier") -> None:
        """No container of a cx that died works for this source (and namespace) any more."""
        labels = self.names.labels(namespace, role, database=source)
        filters = {"label": [f"{key}={value}" for key, value in labels.items()]}
        with translated("list containers"):
            found = self.engine.api.containers(all=True, filters=filters)
            for one in found:
                self.remove_container(one["Id"])

    def remove_container(self, container: str) -> None:
        try:
            self.engine.api.remove_container(container, force=True, v=True)
        except NotFound:
            return
        except APIError as exc:
            if "is already in progress" not in str(exc.explanation):
                raise

    # --- containers
    def run(
        self,
        image: str,
        script: str,
        mounts: Sequence[Mapping[str, Any]],
        labels: Mapping[str, str],
        *,
        owner: str = "",
        entrypoint: Sequence[str] = ("sh", "-euc"),
        network: str = "none",
        files: Iterable[bytes] = (),
        user: str | None = "0",
    ) -> Ran:
        """Runs `script` in a container of `image` to its end, as its root (or `user`; None: as the image says).

        `owner` of the image owns /to before. `files` are a tar's parts; it is unpacked at / before.
        """
        self.pull(image)
        argv = list(entrypoint)
        if script:
            argv.append(f"chown {owner} /to\n{script}" if owner else script)
        with translated(f"run a container of {image}"):
            made = self.engine.api.create_container(
                image,
                entrypoint=argv[:1],
                command=argv[1:],
                user=user,
                labels=dict(labels),
                host_config=self.engine.api.create_host_config(
                    mounts=[dict(one) for one in mounts],
                    network_mode=network,
                    cap_drop=["ALL"],
                    cap_add=_CAPABILITIES,
                    security_opt=["no-new-privileges"],
                    log_config={"type": "json-file", "config": {"max-size": "1m"}},
                ),
            )["Id"]
            try:
                if files:
                    self.engine.api.put_archive(made, "/", files)
                self.engine.api.start(made)
                status = self.engine.api.wait(made, timeout=_TIMEOUT_S)["StatusCode"]
                said = self.engine.api.logs(made, tail=60).decode(errors="replace")
            finally:
                self.remove_container(made)
        return Ran(status, tuple(said.splitlines()))

    def pull(self, image: str) -> None:
        """The image is on this host."""
        with translated(f"pull {image}"):
            try:
                self.engine.api.inspect_image(image)
                return
            except (NotFound, ImageNotFound):
                pass
        try:
            with translated(f"pull {image}"):
                self.engine.client.images.pull(image)
        except (EngineRefused, Retryable) as exc:
            raise Terminal(f"the image {image} is not on this host: {exc.what}", remedy=f"docker pull {image}") from exc

    # --- parts
    def _labels(self, role: str, source: str, way: Way, namespace: Namespace | None) -> dict[str, str]:
        return self.names.labels(namespace, role, database=source, way=way)

    def _worker(self, volume: Volume) -> dict[str, str]:
        return self.names.labels(volume.namespace, "copier", database=volume.source)

    def _in_pool(self, volume: Volume, image: str, script: str, owner: str = "") -> Ran:
        """`script` has run with `$to`, the volume's folder. One mount, so that blocks can be shared inside it."""
        binds = [{"Type": "bind", "Source": self.pool, "Target": POOL, "ReadOnly": False}]
        text = f"to={POOL}/{volume.name}\n{script}" + (f'\nchown {owner} "$to"' if owner else "")
        ran = self.run(image, text, binds, self._worker(volume))
        if ran.exit_code != _GONE:
            check(ran, f"prepare {volume.name}")
        return ran


def mount(
    volume: str, target: str, labels: Mapping[str, str] | None = None, *, subpath: str = "", read_only: bool = False
) -> dict[str, Any]:
    options: dict[str, Any] = {"NoCopy": True}
    if labels:
        options["Labels"] = dict(labels)
    if subpath:
        options["Subpath"] = subpath
    return {"Type": "volume", "Source": volume, "Target": target, "ReadOnly": read_only, "VolumeOptions": options}


def check(ran: Ran, doing: str) -> None:
    """Raises NoSpace, Terminal."""
    if ran.exit_code == 0:
        return
    if any("No space left on device" in line for line in ran.output):
        raise NoSpace(f"{doing}: the disk is full", remedy="free some space: `cx prune`, `docker system df`")
    last = next((line for line in reversed(ran.output) if line.strip()), "it said nothing")
    raise Terminal(f"{doing}: ended with status {ran.exit_code}: {last}", log=ran.output[-20:])


def _read(name: str, labels: Mapping[str, str], mark: str) -> Volume:
    try:
        said = json.loads(mark) if mark else {}
    except ValueError:
        said = {}
    namespace = labels.get(LABEL_NAMESPACE)
    created = said.get("created")
    return Volume(
        name,
        labels.get(LABEL_DATABASE, ""),
        labels[LABEL_ROLE],
        cast(Way, labels.get(LABEL_WAY, "server")),
        Namespace(namespace) if namespace else None,
        said.get("golden", ""),
        datetime.fromisoformat(created) if created else None,
        int(said.get("size_bytes", 0)),
        said.get("sanitised_by", ""),
        said.get("facts", {}),
        said.get("snapshot", ""),
    )


__all__ = ["GOLDEN", "Ran", "Replaced", "Volumes", "check", "mount"]
