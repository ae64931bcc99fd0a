"""Looks at everything that previews need, and says of each what is wrong and which command mends it."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from cx.core.errors import CxError
from cx.docker.compose import environment, plugin
from cx.docker.connection import MINIMUM_API, Engine, translated
from cx.docker.networks import data_subnet
from cx.git.program import git, run
from cx.host.named import lacking
from cx.host.ports import handed_out, taken

if TYPE_CHECKING:
    from cx.core.history import Chore
    from cx.data.values import Server
    from cx.docker.networks import Networks
    from cx.host.stack import Stack
    from cx.pulls.values import PullId
    from cx.settings import Settings

MINIMUM_COMPOSE = (2, 30)
LOW_DISK = 5 << 30
DRIFT_S = 30
# What the engine takes networks from that name no subnet, unless its configuration says otherwise.
ENGINE_POOLS = ("172.17.0.0/16", "172.18.0.0/15", "172.20.0.0/14", "172.24.0.0/13", "192.168.0.0/16")


@dataclass(frozen=True)
class Check:
    """`state`: ok; advice (works, could be better); broken (previews need it)."""

    name: str
    state: str
    finding: str
    remedy: str = ""


@dataclass(frozen=True)
class Doctor:
    engine: Engine
    networks: Networks
    stack: Stack
    settings: Settings
    server: Server
    refilled: Callable[[], Chore | None]  # how the newest refill of spares went
    troubled: Callable[[], Mapping[PullId, str]] = dict  # looks that failed last, and why

    def checks(self) -> list[Check]:
        """Every check, in the order in which one builds on another."""
        found: list[Check] = []
        try:
            with translated("ask the engine"):
                version, info = self.engine.api.version(), self.engine.api.info()
        except CxError as exc:
            found.append(Check("engine", "broken", exc.what, "install and start Docker; scripts/engine does"))
            version, info = None, {}
        found += [*self._tools()]
        if version:
            for look in (self._engine, self._live_restore, self._pools, self._disk, self._clock):
                found += self._guarded(look, version, info)
            for part in (self._router, self._ports, self._fixed_ports, self._postgres, self._spares):
                found += self._guarded(part)
        return [*self._configuration(), *found, *self._domain(), *self._github(), *self._looks()]

    def _configuration(self) -> Iterator[Check]:
        """A row for each thing that the configuration names and that is not there."""
        found = lacking(self.settings, os.environ)
        for one in found:
            yield Check("configuration", "broken", one.why.what, one.why.remedy)
        if not found:
            yield Check("configuration", "ok", "all that it names is there")

    def _looks(self) -> Iterator[Check]:
        for pull, why in self.troubled().items():
            yield Check(str(pull) if pull.number else pull.repository, "broken", why, "it is tried again by itself")

    def _guarded(self, look: Callable[..., Iterator[Check]], *facts: dict[str, Any]) -> list[Check]:
        try:
            return list(look(*facts))
        except CxError as exc:
            return [Check(getattr(look, "__name__", "check").strip("_"), "broken", exc.what, exc.remedy)]

    def _engine(self, version: dict[str, Any], info: dict[str, Any]) -> Iterator[Check]:
        api = tuple(int(part) for part in version["ApiVersion"].split("."))
        finding = f"{version['Version']} at {self.engine.host}"
        if api < MINIMUM_API:
            yield Check("engine", "broken", f"{finding} is too old", "upgrade to Docker Engine 26 or newer")
        else:
            yield Check("engine", "ok", finding)

    def _tools(self) -> Iterator[Check]:
        for name, options, least in (
            ("compose", ["version", "--short"], MINIMUM_COMPOSE),
            ("buildx", ["version"], None),
            ("git", ["--version"], None),
        ):
            try:
                said = run(git(*options)).stdout.strip() if name == "git" else _said([*plugin(name), *options])
            except CxError as exc:
                yield Check(name, "broken", exc.what, "scripts/engine installs it")
                continue
            if not said:
                yield Check(name, "broken", f"`{name} {' '.join(options)}` fails", "scripts/engine installs it")
            elif least and tuple(int(part) for part in said.lstrip("v").split(".")[:2]) < least:
                yield Check(name, "broken", f"{said} is too old", f"upgrade to {'.'.join(map(str, least))} or newer")
            else:
                yield Check(name, "ok", said)

    def _live_restore(self, version: dict[str, Any], info: dict[str, Any]) -> Iterator[Check]:
        if info.get("LiveRestoreEnabled"):
            yield Check("live-restore", "ok", "containers run on while the engine restarts")
        else:
            yield Check(
                "live-restore",
                "advice",
                "previews stop while the engine restarts",
                'add {"live-restore": true} to /etc/docker/daemon.json',
            )

    def _pools(self, version: dict[str, Any], info: dict[str, Any]) -> Iterator[Check]:
        pool = self.networks.pool
        foreign = [route for route in _host_routes() if route.overlaps(pool) and not route.subnet_of(pool)]
        if foreign:
            yield Check(
                "address pool",
                "broken",
                f"{pool} overlaps with this host's route to {foreign[0]}",
                "set network.pool in the host configuration to a private range that is free",
            )
            return
        with translated("list the networks"):
            there = [
                (one["Name"], ipaddress.IPv4Network(config["Subnet"]))
                for one in self.engine.api.networks()
                for config in (one.get("IPAM") or {}).get("Config") or ()
                if ":" not in config["Subnet"]
            ]
        own, needed = self.stack.names.data_network(), data_subnet(pool)
        if other := next((name for name, one in there if one.overlaps(needed) and name != own), None):
            yield Check(
                "address pool",
                "broken",
                f"network {other} has addresses of {needed}, which the database server needs",
                "set network.pool in the host configuration to a private range that is free",
            )
            return
        if not self.stack.data_network.keeps_address():
            yield Check(
                "address pool",
                "broken",
                f"network {own} may give the database server's address to a pooler when the engine starts",
                "cx up",
            )
            return
        for one in _engine_pools(info):
            if one.overlaps(pool):
                yield Check(
                    "address pool",
                    "advice",
                    f"{pool} overlaps {one}, from which the engine gives other networks their addresses",
                    "set network.pool to a private range outside of it, when no namespace is there",
                )
                return
        used = sum(one.subnet_of(pool) for _, one in there)
        yield Check("address pool", "ok", f"{pool}: {used} networks of at most {pool.num_addresses // 16 - 128}")

    def _disk(self, version: dict[str, Any], info: dict[str, Any]) -> Iterator[Check]:
        root = info.get("DockerRootDir", "/var/lib/docker")
        if not (self.engine.host.startswith("unix://") and os.path.isdir(root)):
            return
        free = shutil.disk_usage(root).free
        if free < LOW_DISK:
            yield Check("disk", "broken", f"{free >> 30} GiB are free at {root}", "`cx prune`, `docker system df`")
        else:
            yield Check("disk", "ok", f"{free >> 30} GiB are free at {root}")

    def _clock(self, version: dict[str, Any], info: dict[str, Any]) -> Iterator[Check]:
        with translated("ask the engine"):
            said = self.engine.api.get(self.engine.api.base_url + "/_ping").headers.get("Date")
        there = parsedate_to_datetime(said).timestamp() if said else time.time()
        drift = abs(there - time.time())
        if drift > DRIFT_S:
            yield Check("clock", "broken", f"the engine's clock is {drift:.0f} s off", "run an NTP client on both")
        else:
            yield Check("clock", "ok", "the engine's clock agrees")

    def _router(self) -> Iterator[Check]:
        for part in self.stack.parts():
            if part.well:
                yield Check(part.name, "ok", str(part))
            else:
                name = f"{self.stack.names.instance}-{part.name}"
                remedy = "cx up" if part.state in ("missing", "exited", "created") else f"docker logs {name}"
                yield Check(part.name, "broken", str(part), remedy)

    def _ports(self) -> Iterator[Check]:
        bind = self.settings.router.bind
        running = any(part.name == "router" and part.well for part in self.stack.parts())
        ports = {"http_port": self.settings.http_port}
        if self.settings.tls != "off":
            ports["https_port"] = self.settings.https_port
        for key, port in ports.items():
            busy = taken(bind, port)
            if running == busy:
                yield Check(f"port {port}", "ok", "the router listens" if running else "free")
            elif busy:
                remedy = f"stop what uses it (`ss -ltnp 'sport = :{port}'`), or set router.{key}"
                yield Check(f"port {port}", "broken", "another program listens", remedy)
            else:
                yield Check(f"port {port}", "broken", "the router does not listen", "cx up")

    def _fixed_ports(self) -> Iterator[Check]:
        """No outgoing connection may have the port of what starts: after a reboot, say."""
        if not self.engine.host.startswith("unix://"):  # the router is on another machine
            return
        router, free = self.settings.router, handed_out()
        ports = {"router.http_port": self.settings.http_port, "router.admin_port": router.admin_port}
        if self.settings.tls != "off":
            ports["router.https_port"] = self.settings.https_port
        if self.settings.github.rules:
            ports["listen.port"] = self.settings.listen.port
        for key, port in ports.items():
            if port in free:
                yield Check(
                    key,
                    "advice",
                    f"this machine gives port {port} to outgoing connections, too: it may be taken at the next start",
                    f"set {key} below {min(free)}, or add {port} to net.ipv4.ip_local_reserved_ports",
                )

    def _postgres(self) -> Iterator[Check]:
        from cx.data.session import session
        from cx.data.shared import volume

        if not self.stack.part("postgres").runs:
            return  # which its own row says; at its address may be another's
        with session(self.server) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), count(*), current_setting('max_connections')::int"
                " FROM pg_stat_activity"
            ).fetchone()
            place, version = volume.look(connection), connection.info.server_version
        assert row is not None  # noqa: S101 - an aggregate always gives a row
        yield Check("databases", "ok", f"PostgreSQL {row[0]}, {row[1]} of {row[2]} connections")
        free = f"{(place.free_bytes or 0) >> 30} GiB are free"
        if place.reflink and version >= 180000:
            yield Check("clones", "ok", f"share their blocks with the golden ({place.filesystem}); {free}")
            return
        gain = "by reflink, 1 GB takes 0.1 s and no disk instead of 0.5 s and 1 GB"
        if place.reflink:
            yield Check("clones", "advice", f"this PostgreSQL copies in full; {gain}", "take postgres:18 or newer")
        elif self.settings.postgres.volume_size:
            yield Check("clones", "broken", f"{place.filesystem} shares no blocks; {free}", "cx down, then cx up")
        else:
            remedy = "put postgres.path on XFS or btrfs"
            if self._may_mount():
                remedy = "set postgres.volume_size: this host can mount an XFS file"
            yield Check("clones", "advice", f"{place.filesystem} copies each in full; {gain}; {free}", remedy)

    def _spares(self) -> Iterator[Check]:
        last = self.refilled()
        if last and last.failed:
            began = datetime.fromtimestamp(last.started_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
            yield Check(
                "spares", "advice", f"the refill of {began} failed: {last.message}", "`cx db spares` refills them"
            )

    def _may_mount(self) -> bool:
        """Whether containers of the engine may mount a file system for the host."""
        with translated("ask the engine"):
            info = self.engine.api.info()
        options = " ".join(info.get("SecurityOptions") or ())
        return info.get("OSType") == "linux" and not any(word in options for word in ("rootless", "userns"))

    def _domain(self) -> Iterator[Check]:
        host = f"preview-0-app.{self.settings.domain}"
        try:
            found = sorted({one[4][0] for one in socket.getaddrinfo(host, None)})
        except OSError:
            found = []
        if found:
            yield Check("domain", "ok", f"{host} is {', '.join(map(str, found))}")
        elif self.settings.domain == "localhost":
            yield Check(
                "domain",
                "advice",
                "this machine's resolver does not know *.localhost; browsers and curl do",
                "install libnss-myhostname",
            )
        else:
            yield Check(
                "domain", "broken", f"{host} has no address", f"add a DNS record *.{self.settings.domain} to this host"
            )

    def _github(self) -> Iterator[Check]:
        """A row for each repository; nothing is written there."""
        if not self.settings.github.rules:
            return
        from cx.forges.github.rights import missing

        app = self.settings.github.app_id is not None
        fine = "the App has its permissions there" if app else "the token sees it, and its owner may write there"
        try:
            for repository, lacks, remedy in missing(self.settings.github, os.environ):
                yield Check(f"github {repository}", "broken" if lacks else "ok", lacks or fine, remedy)
        except CxError as exc:
            yield Check("github", "broken", exc.what, exc.remedy)


def _said(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, env=environment(), cwd="/", check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""


def _engine_pools(info: dict[str, Any]) -> list[ipaddress.IPv4Network]:
    """What the engine takes the subnets of networks from that name none."""
    given = [one["Base"] for one in info.get("DefaultAddressPools") or () if ":" not in one["Base"]]
    return [ipaddress.IPv4Network(one) for one in given or ENGINE_POOLS]


def _host_routes() -> Iterator[ipaddress.IPv4Network]:
    """This host's own routes, but for the default one; none where they cannot be read."""
    try:
        with open("/proc/net/route") as table:
            lines = table.read().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        _, destination, _, _, _, _, _, mask, *_ = line.split()
        address = int.from_bytes(bytes.fromhex(destination), "little")
        prefix = int.from_bytes(bytes.fromhex(mask), "little").bit_count()
        if prefix:
            yield ipaddress.IPv4Network((address, prefix))
