"""A second opinion on what may leave the policy, written apart from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEMORY_MAX = 512 * 1024**2
TEXT = {"image", "user", "working_dir", "stop_signal", "stop_grace_period"}
WORDS = {"command", "entrypoint", "group_add", "tmpfs"}
MOUNT = {"type", "source", "target", "read_only", "volume", "tmpfs"}
HEALTH = {"test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"}
HARMLESS = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}


def allowed(model: Mapping[str, Any]) -> list[str]:
    """What is in `model`, a service of a blueprint, and may not be."""
    return [f"{key}: {value!r}" for key, value in model.items() if not _right(key, value)]


def _right(key: str, value: Any) -> bool:
    if key == "image":
        return isinstance(value, str) and not value.startswith(("cx/", "-", "sha256")) and "$" not in value
    if key in TEXT:
        return isinstance(value, str) and "$" not in value
    if key in WORDS:
        return isinstance(value, list) and all(isinstance(one, str) and "\0" not in one for one in value)
    if key == "environment":
        return all(isinstance(one, str) and "\0" not in one and "=" not in name for name, one in value.items())
    if key in ("mem_limit", "shm_size"):
        return 0 < value <= MEMORY_MAX
    if key == "cpus":
        return 0 < value <= 1.0
    if key == "pids_limit":
        return 0 < value <= 256
    if key == "deploy":
        return set(value) == {"replicas"} and 0 <= value["replicas"] <= 3
    if key == "cap_add":
        return set(value) <= HARMLESS
    if key == "sysctls":
        return all(name.startswith("net.") and value.get("net.ipv6.conf.all.disable_ipv6") != "0" for name in value)
    if key == "ulimits":
        return all(set(one) == {"soft", "hard"} for one in value.values())
    if key == "healthcheck":
        return set(value) <= HEALTH
    if key == "depends_on":
        return all(set(one) == {"condition", "required"} for one in value.values())
    if key in ("init", "read_only"):
        return isinstance(value, bool)
    if key == "volumes":
        return all(_mount_right(one) for one in value)
    return key == "devices" and value == []


def _mount_right(mount: Mapping[str, Any]) -> bool:
    if not set(mount) <= MOUNT or mount["type"] not in ("volume", "tmpfs") or not mount["target"].startswith("/"):
        return False
    inner = mount.get("volume", {})
    subpath = inner.get("subpath", "")
    return set(inner) <= {"subpath", "nocopy"} and not subpath.startswith(("/", "..", "out")) and "$" not in subpath
