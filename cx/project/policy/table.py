"""The policy, key by key: what a Compose model of a project may ask for. What is not listed is refused.

    Keep     the value goes into the blueprint, as its check gives it back
    Use      the value is used for something else (a route, an alias, a limit), and not kept
    Drop     it has no effect on a preview; the user reads so in a note
    Refuse   the project gets an error that names the key, unless what it asks for is nothing

Keys as in https://github.com/compose-spec/compose-spec/blob/main/schema/compose-spec.json (of Compose 5.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cx.project.policy import mounts, values
from cx.project.policy.sysctls import sysctls
from cx.project.policy.values import Take


@dataclass(frozen=True)
class Keep:
    take: Take


@dataclass(frozen=True)
class Use:
    """Read by cx/project/policy/admission.py, under the same name."""


@dataclass(frozen=True)
class Drop:
    note: str = "is not kept"  # "" says nothing


@dataclass(frozen=True)
class Refuse:
    why: str
    nothing: tuple[Any, ...] = ()  # values that ask for nothing, beside empty ones
    grant: str = ""  # what the host's owner may allow

    def asks(self, value: Any) -> bool:
        return value not in (None, False, "", [], {}) and value not in self.nothing


Entry = Keep | Use | Drop | Refuse

_HOST = "shares the host's, or another container's"
_FILES = "reads files that are not looked at"
_ENV_FILE = "cx reads no env_file: write the values under environment, or have the host's owner allow it"
_SECRETS = "cx gives none: mount the file from the repository instead (volumes), or use environment"
_OTHER_FILE = "takes in another file, which cx does not read: write all into one"

SERVICE: Mapping[str, Entry] = {
    # What runs
    "image": Keep(values.image),
    "build": Use(),
    "command": Keep(values.words),
    "entrypoint": Keep(values.words),
    "environment": Keep(values.environment),
    "user": Keep(values.user),
    "group_add": Keep(values.group_add),
    "working_dir": Keep(values.path_in_container),
    "init": Keep(values.boolean),
    "stop_signal": Keep(values.stop_signal),
    "stop_grace_period": Keep(values.stop_grace_period),
    "healthcheck": Keep(values.healthcheck),
    "depends_on": Use(),
    "platform": Drop(),
    "pull_policy": Drop(),
    "pull_refresh_after": Drop(),
    "stdin_open": Drop(""),
    "tty": Drop(""),
    "attach": Drop(""),
    "develop": Drop(""),
    "profiles": Drop(""),
    "container_name": Use(),
    "hostname": Drop("is not kept: the service's name is its hostname"),
    "domainname": Drop(),
    "restart": Keep(values.restart),
    "annotations": Drop(),
    "logging": Drop("is not kept: logs are rotated by the host's limits"),
    "labels": Use(),
    # How much
    "mem_limit": Use(),
    "cpus": Use(),
    "pids_limit": Use(),
    "deploy": Use(),
    "scale": Use(),
    "shm_size": Keep(values.shm_size),
    "ulimits": Keep(values.ulimits),
    "mem_reservation": Drop(""),
    "memswap_limit": Drop(),
    "mem_swappiness": Drop(),
    "blkio_config": Drop(),
    "cpu_count": Drop(),
    "cpu_percent": Drop(),
    "cpu_period": Drop(),
    "cpu_quota": Drop(),
    "cpu_shares": Drop(),
    "cpuset": Drop(),
    "cpu_rt_period": Refuse("asks for real time"),
    "cpu_rt_runtime": Refuse("asks for real time"),
    "oom_kill_disable": Refuse("would take the host's memory with it"),
    "oom_score_adj": Refuse("would have the host's own processes killed first", nothing=(0,)),
    "storage_opt": Refuse("steers the engine's storage"),
    # What it sees
    "volumes": Keep(mounts.volumes),
    "tmpfs": Keep(mounts.tmpfs),
    "read_only": Keep(values.boolean),
    "volumes_from": Refuse("mounts another container's volumes"),
    "devices": Keep(values.devices),
    "device_cgroup_rules": Refuse("gives devices of the host"),
    "gpus": Refuse("gives devices of the host"),
    "configs": Refuse(_SECRETS),
    "secrets": Refuse(_SECRETS),
    "env_file": Refuse(_ENV_FILE, grant="env_file"),
    "label_file": Refuse(_FILES),
    "credential_spec": Refuse(_FILES),
    "extends": Refuse("takes in another service, or another file's: write its keys out here"),
    "use_api_socket": Refuse("gives the engine itself: whoever holds it has the host"),
    "models": Refuse("is not for a preview"),
    "provider": Refuse("runs a program on the host"),
    "pre_start": Refuse("may be privileged; a release command in cx.toml runs before the start"),
    "post_start": Refuse("may be privileged; a release command in cx.toml runs before the start"),
    "pre_stop": Refuse("may be privileged"),
    # Whom it reaches
    "networks": Use(),
    "network_mode": Refuse(
        f"{_HOST} network; without it the services reach each other by their names", nothing=("bridge", "default")
    ),
    "links": Use(),
    "expose": Use(),
    "ports": Use(),
    "external_links": Refuse("reaches containers that are not the namespace's"),
    "extra_hosts": Keep(values.extra_hosts),
    "dns": Refuse("is not for a preview to choose"),
    "dns_opt": Refuse("is not for a preview to choose"),
    "dns_search": Refuse("is not for a preview to choose"),
    "mac_address": Refuse("is not for a preview to choose"),
    # What it may do
    "cap_add": Keep(values.cap_add),
    "cap_drop": Drop(""),
    "sysctls": Keep(sysctls),
    "privileged": Refuse("gives the container the host"),
    "security_opt": Refuse(
        "takes away what keeps the container in: only no-new-privileges may be there",
        nothing=(["no-new-privileges:true"], ["no-new-privileges"]),
    ),
    "cgroup": Refuse(f"{_HOST} cgroup", nothing=("private",)),
    "cgroup_parent": Refuse("puts the container under another's limits"),
    "ipc": Refuse(f"{_HOST} memory", nothing=("private", "none")),
    "pid": Refuse(f"{_HOST} processes"),
    "userns_mode": Refuse(f"{_HOST} users"),
    "uts": Refuse(f"{_HOST} name"),
    "runtime": Refuse("is not for a preview to choose", nothing=("runc",)),
    "isolation": Refuse("is not for a preview to choose", nothing=("default",)),
}

TOP: Mapping[str, Entry] = {
    "services": Use(),
    "volumes": Use(),
    "networks": Use(),
    "name": Drop(""),
    "version": Drop(""),
    "include": Refuse(_OTHER_FILE),
    "configs": Refuse(_SECRETS),
    "secrets": Refuse(_SECRETS),
    "models": Refuse("is not for a preview"),
    "jobs": Refuse("is not for a preview; a release command in cx.toml runs before the start"),
}

DEPLOY: Mapping[str, Entry] = {
    "replicas": Use(),
    "resources": Use(),
    "labels": Use(),
    "mode": Refuse("may be replicated only", nothing=("replicated",)),
    "endpoint_mode": Drop(""),
    "placement": Drop(""),
    "restart_policy": Use(),
    "rollback_config": Drop(""),
    "update_config": Drop(""),
}

VOLUME: Mapping[str, Entry] = {
    "name": Drop("is not kept: volumes are the namespace's own"),
    "driver": Refuse("is not for a preview to choose", nothing=("local",)),
    "driver_opts": Refuse("can mount what is the host's", nothing=({"type": "tmpfs", "device": "tmpfs"},)),
    "external": Refuse("is not the namespace's own: without external it becomes a new volume of the namespace"),
    "labels": Use(),
}

NETWORK: Mapping[str, Entry] = {
    "name": Drop(""),
    "driver": Refuse("is not for a preview to choose", nothing=("bridge", "default")),
    "driver_opts": Drop(""),
    "ipam": Drop(""),
    "internal": Drop("is not kept: a namespace has one network"),
    "attachable": Drop(""),
    "enable_ipv4": Drop(""),
    "enable_ipv6": Drop(""),
    "external": Refuse("is not the namespace's own: a namespace has one network, which all its services are in"),
    "labels": Use(),
}
