"""A blueprint made into the Compose models that are run, and the poolers beside them. Pure.

Two Compose projects hold a namespace: one for each revision, and `-data` for the services that outlive
revisions. Networks and volumes are made by cx beforehand, so that each carries its labels and its subnet
from cx's pool; the models only refer to them. Every address is given, so that a route stays right when the
engine restarts.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cx.core.blueprint import Blueprint, Pooler, Route, jobs_of
from cx.core.durations import duration_s
from cx.core.names import LABEL_DATA, Names, Namespace

RELEASE = "cx-release"
POOLER = "cx-pooler"
SERVER = "cx-server"

# How long a service of an old revision may finish what it does, unless the project says so itself. Many programs
# do not heed SIGTERM as process 1 of a container: this is then what each redeploy waits.
GRACE_S = 3
GRACE = f"{GRACE_S}s"

# Docker's default capabilities less those that a web application has no use for.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")


@dataclass(frozen=True)
class Limits:
    """For each container: memory as Docker spells it (`512m`), cpus in cores, pids, log files of `log_size`."""

    memory: str = "512m"
    cpus: float = 1.0
    pids: int = 256
    log_size: str = "10m"
    log_files: int = 3


@dataclass(frozen=True)
class PoolerContainer:
    """`networks` maps each network that it is in to what it has there: an address, names. `files` are secret."""

    name: str
    image: str
    labels: Mapping[str, str]
    networks: Mapping[str, Mapping[str, object]]
    files: Mapping[str, bytes] = field(repr=False)
    cpus: float
    log: Mapping[str, str]
    stop_timeout_s: int
    memory: str = "64m"
    pids: int = 16

    @property
    def owned(self) -> dict[str, str]:
        """Its labels, and one that stands for its files: others, and it is another container."""
        digest = hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()[:12]
        return {**self.labels, LABEL_DATA: digest}


@dataclass(frozen=True)
class Modeller:
    """What all models of one revision share. `subnet` is the revision's; None before one is allocated."""

    names: Names
    namespace: Namespace
    revision: str
    blueprint: Blueprint
    limits: Limits
    pooler_image: str

    # --- addresses
    def members(self) -> list[str]:
        """Who has an address in the revision's network, in the order of addresses; replicas as `name#2`."""
        members = [RELEASE, *(f"{POOLER}-{use.name}" for use in self.blueprint.databases if use.way != "volume")]
        for name, service in sorted(self.blueprint.services.items()):
            members += instances(name, replicas(service))
        return members + [name for name, _ in sorted(self.blueprint.pinned.items())]

    def prefix(self) -> int:
        """The smallest subnet that holds everyone: network, gateway, broadcast and the members."""
        return min(28, 32 - (len(self.members()) + 3 - 1).bit_length())

    def addresses(self, subnet: ipaddress.IPv4Network) -> dict[str, str]:
        hosts: Iterator[ipaddress.IPv4Address] = iter(subnet.hosts())
        next(hosts)  # the gateway's
        return {name: str(host) for name, host in zip(self.members(), hosts, strict=False)}

    def targets(self, route: Route, subnet: ipaddress.IPv4Network) -> list[str]:
        """The addresses (`http://10.1.2.3:80`) that a route's requests go to, one for each replica."""
        addresses = self.addresses(subnet)
        service = self.blueprint.services.get(route.service) or self.blueprint.pinned[route.service]
        return [f"http://{addresses[one]}:{route.port}" for one in instances(route.service, replicas(service))]

    # --- models
    def revision_model(self, subnet: ipaddress.IPv4Network, poolers: Iterable[Pooler], data: str) -> dict[str, Any]:
        """Services and the release job of the revision. `data` stands for what the clones hold."""
        addresses = self.addresses(subnet)
        poolers = tuple(poolers)
        services: dict[str, Any] = {}
        for name, service in self.blueprint.services.items():
            restart = self.restart(name, service)
            ran_on = {"data": data} if restart != "always" else {}
            for number, instance in enumerate(instances(name, replicas(service))):
                services[instance.replace("#", "-cx")] = self._service(
                    name,
                    service,
                    role="job" if name in self._jobs else "service",
                    restart=restart,
                    network={"ipv4_address": addresses[instance], "aliases": self.aliases(name)},
                    extra_env=self._database_env(name, poolers),
                    labels=ran_on,
                    number=number,
                )
        if release := self.blueprint.release:
            base = self.blueprint.services.get(release.service) or self.blueprint.pinned[release.service]
            services[RELEASE] = self._service(
                release.service,
                {key: value for key, value in base.items() if key not in ("depends_on", "healthcheck")}
                | {"command": list(release.command), "entrypoint": []},
                role="release",
                restart="no",
                network={"ipv4_address": addresses[RELEASE], "aliases": []},
                extra_env=self._database_env(release.service, poolers),
                labels={"data": data},
            )
            services[RELEASE]["profiles"] = ["release"]
        networks = {"net": {"name": self.names.network(self.namespace, self.revision), "external": True}}
        return self._whole(services, networks, self.files_volume, poolers)

    def poolers(self, subnet: ipaddress.IPv4Network, poolers: Iterable[Pooler]) -> list[PoolerContainer]:
        """Those of the revision. They are in the data network as well: only they reach the database server."""
        addresses = self.addresses(subnet)
        return [self._pooler(one, addresses[f"{POOLER}-{one.use.name}"]) for one in poolers if one.use.way == "pooler"]

    def data_model(self, poolers: Iterable[Pooler] = ()) -> dict[str, Any]:
        """The services that keep their state in a volume: updated in place, by a project of their own."""
        services = {
            name: self._service(
                name,
                service,
                role="pinned",
                restart=self.restart(name, service),
                network={"aliases": self.aliases(name)},
                revision=False,
            )
            for name, service in self.blueprint.pinned.items()
        }
        poolers = tuple(poolers)
        services |= {f"{SERVER}-{one.use.name}": self._server(one, one.server.model) for one in poolers if one.server}
        networks = {"net": {"name": self.names.network(self.namespace), "external": True}}
        return self._whole(services, networks, self._kept_files_volume, poolers)

    # --- parts
    def _service(
        self,
        name: str,
        service: Mapping[str, Any],
        *,
        role: str,
        restart: str,
        network: Mapping[str, Any],
        extra_env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        number: int = 0,
        revision: bool = True,
    ) -> dict[str, Any]:
        model = {key: value for key, value in service.items() if key not in ("deploy", "depends_on")}
        build = next((one for one in self.blueprint.builds if one.service == name), None)
        if build:
            model["image"] = self.names.image(self.namespace, name, build.digest)
            model["pull_policy"] = "never"
        model["volumes"] = [self._mount(one) for one in service.get("volumes") or () if not self._file(one)]
        environment = {**(service.get("environment") or {}), **(extra_env or {})}
        model["environment"] = {key: dollars(value) for key, value in environment.items() if value is not None}
        for key in ("command", "entrypoint"):
            if model.get(key) is not None:
                model[key] = [dollars(word) for word in model[key]]
        if role in ("service", "pinned"):
            model["healthcheck"] = escaped(prompt(model.get("healthcheck") or {}, self.blueprint.start_timeout_s))
        owned = {"service": name, "restart": restart, **(labels or {})}
        owned |= {"revision": self.revision} if revision else {}
        if number:
            owned["replica"] = str(number + 1)
        return self._bounded(model) | {
            "labels": self.names.labels(self.namespace, role, **owned),
            "networks": {"net": dict(network)},
            "restart": policy_of(restart),
        }

    def restart(self, name: str, service: Mapping[str, Any]) -> str:
        """What its end is to the service: "always" (never well), "no", "on-failure", "on-failure:N", or "default" where
        the project does not say.

        A service with a URL is to answer. A job that another service waits for is tried again only where the project
        says so.
        """
        said = str(service.get("restart") or "")
        said = said if said in ("always", "no") or said.startswith("on-failure") else ""
        if name in self._jobs:
            return said if said.startswith("on-failure") else "no"
        if any(route.service == name for route in self.blueprint.routes):
            return "always"
        return said or "default"

    @cached_property
    def _jobs(self) -> set[str]:
        return jobs_of({**self.blueprint.services, **self.blueprint.pinned})

    def _bounded(self, model: dict[str, Any]) -> dict[str, Any]:
        """`model` with limits where it has none, and with no more rights than it needs."""
        limits = self.limits
        defaults = {
            "mem_limit": limits.memory,
            "cpus": limits.cpus,
            "pids_limit": limits.pids,
            "stop_grace_period": GRACE,
        }
        wanted = [
            *CAPABILITIES,
            *(one for one in model.pop("cap_add", None) or () if one not in CAPABILITIES),
        ]
        return (
            defaults
            | {key: value for key, value in model.items() if value not in (None, [], {})}
            | {
                "cap_drop": ["ALL"],
                "cap_add": wanted,
                "security_opt": ["no-new-privileges:true"],
                "logging": {"driver": "json-file", "options": self._log()},
            }
        )

    def _pooler(self, pooler: Pooler, address: str) -> PoolerContainer:
        own = {"ipv4_address": address, "aliases": self.aliases(pooler.use.alias)}
        return PoolerContainer(
            f"{self.names.project(self.namespace, self.revision)}-{POOLER}-{pooler.use.name}-1",
            self.pooler_image,
            self.names.labels(self.namespace, "pooler", service=pooler.use.alias, revision=self.revision),
            {self.names.network(self.namespace, self.revision): own, self.names.data_network(): {}},
            pooler.files,
            self.limits.cpus,
            self._log(),
            GRACE_S,
        )

    def _log(self) -> dict[str, str]:
        return {"max-size": self.limits.log_size, "max-file": str(self.limits.log_files)}

    def _server(self, pooler: Pooler, model: Mapping[str, Any]) -> dict[str, Any]:
        """`data` stands for what is in its files: Compose makes the container anew when they change."""
        digest = hashlib.sha256(repr(sorted(pooler.files.items())).encode()).hexdigest()[:12]
        labels = self.names.labels(
            self.namespace, "server", service=pooler.use.alias, database=pooler.use.name, data=digest
        )
        return self._bounded(dict(model)) | {
            "labels": labels,
            "networks": {"net": {"aliases": self.aliases(pooler.use.alias)}},
            "cap_add": [],
            "restart": "always",
        }

    def _mount(self, mount: Mapping[str, Any]) -> dict[str, Any]:
        if mount.get("type") != "volume":
            return dict(mount)
        if mount.get("source"):
            return {**mount, "source": mount["source"]}
        if "subpath" in (mount.get("volume") or {}):
            return {**mount, "source": "cx-files"}
        return {key: value for key, value in mount.items() if key != "source"}

    def placed(self) -> dict[str, dict[str, str]]:
        """For each service the single files that it mounts: path in the checkout -> path in the container.

        A volume's subpath can only be a folder (Docker 26), so these are put into the containers themselves.
        """
        found: dict[str, dict[str, str]] = {}
        for name, service in (*self.blueprint.services.items(), *self.blueprint.pinned.items()):
            for mount in service.get("volumes") or ():
                if path := self._file(mount):
                    found.setdefault(name, {})[path] = str(mount["target"])
        return found

    def _file(self, mount: Mapping[str, Any]) -> str:
        """The path in the checkout where a mount is one file of it, else ""."""
        subpath = str((mount.get("volume") or {}).get("subpath", ""))
        return subpath if any(one.file and one.path == subpath for one in self.blueprint.mounted) else ""

    def aliases(self, name: str) -> list[str]:
        return sorted({name, *self.blueprint.aliases.get(name, ())})

    def _database_env(self, service: str, poolers: Iterable[Pooler]) -> dict[str, str]:
        wanted = self.blueprint.database_env.get(service, {})
        env: dict[str, str] = {}
        for variable, kind in wanted.items():
            source, _, what = kind.rpartition(".")
            for pooler in poolers:
                if source in ("", pooler.use.name):
                    env.setdefault(variable, pooler.env[what])
        return env

    def folders(self) -> dict[str, list[str]]:
        """For each volume with folders of the checkout which they are."""
        given = ((self.files_volume, self.blueprint.services), (self._kept_files_volume, self.blueprint.pinned))
        return {volume: paths for volume, services in given if (paths := self._folders(services))}

    def _folders(self, services: Mapping[str, Mapping[str, Any]]) -> list[str]:
        mounts = [mount for service in services.values() for mount in service.get("volumes") or ()]
        paths = {str((mount.get("volume") or {}).get("subpath")) for mount in mounts if not mount.get("source")}
        return [one.path for one in self.blueprint.mounted if one.path in paths and not one.file]

    @property
    def files_volume(self) -> str:
        return self.names.files_volume(self.namespace, self.revision)

    @property
    def _kept_files_volume(self) -> str:
        """It is the same as long as the files are: what mounts it is not made anew with each revision."""
        paths = self._folders(self.blueprint.pinned)
        held = [(one.path, one.digest) for one in self.blueprint.mounted if one.path in paths]
        return self.names.kept_files_volume(self.namespace, hashlib.sha256(repr(held).encode()).hexdigest()[:12])

    def _whole(
        self, services: dict[str, Any], networks: dict[str, Any], files: str, poolers: Iterable[Pooler] = ()
    ) -> dict[str, Any]:
        cloned = {source: name for pooler in poolers for source, name in pooler.volumes.items()}
        mounted = {
            mount["source"]
            for service in services.values()
            for mount in service.get("volumes") or ()
            if mount.get("type") == "volume" and mount.get("source")
        }
        volumes = {
            source: {
                "external": True,
                "name": files
                if source == "cx-files"
                else cloned.get(source) or self.names.volume(self.namespace, source),
            }
            for source in sorted(mounted)
        }
        return {"services": services, "networks": networks, "volumes": volumes}


def instances(name: str, count: int) -> list[str]:
    return [name, *(f"{name}#{number}" for number in range(2, count + 1))]


def replicas(service: Mapping[str, Any]) -> int:
    return int((service.get("deploy") or {}).get("replicas") or service.get("scale") or 1)


def policy_of(restart: str) -> str:
    """Whether the engine starts it again, as Compose spells that; `restart` as in Modeller.restart."""
    return "on-failure" if restart == "default" else restart


def dollars(value: Any) -> Any:
    """Text for a Compose model, which would take `$` for a variable."""
    return value.replace("$", "$$") if isinstance(value, str) else value


def prompt(health: Mapping[str, Any], start_timeout_s: float) -> dict[str, Any]:
    """Asked each second until it is well, for one interval at least: Docker would ask after an interval for the first
    time, and a deploy wait for that. So is what asks by its image's HEALTHCHECK; where there is none, nothing asks."""
    if health.get("disable") or "NONE" in health.get("test", ())[:1]:
        return dict(health)
    given = health.get("start_period", "0s")
    least = health.get("interval", "30s") if "test" in health else f"{start_timeout_s:.0f}s"
    longer = max(given, least, key=lambda one: duration_s(one, zero=True))
    return {"start_interval": "1s"} | dict(health) | {"start_period": longer}


def escaped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: escaped(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(one) for one in value]
    return dollars(value)
