"""What a service may mount: its own volumes, memory, and what the checkout holds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from cx.core.names import shortened, shown
from cx.core.sizes import size_bytes
from cx.project.checkout import Outside, inside
from cx.project.policy.findings import Look, at
from cx.project.policy.values import path_in_container

MOUNTS_MAX = 50
_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}")
_SUBPATH = re.compile(r"[^\x00-\x1f\x7f$\\]{1,512}")
_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock", "crio.sock", "dockershim.sock")


def volumes(look: Look, key: str, value: Any) -> list[dict[str, Any]] | None:
    if not isinstance(value, list) or len(value) > MOUNTS_MAX:
        look.refuse(key, f"should be a list of up to {MOUNTS_MAX} mounts")
        return None
    kept = []
    for number, mount in enumerate(value):
        where = f"{key}[{number}]"
        if not isinstance(mount, Mapping):
            look.refuse(where, "is not a mount")
            continue
        one = _mount(look, where, mount)
        if one:
            kept.append(one)
    return kept


def _mount(look: Look, key: str, mount: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = mount.get("type")
    known = {"type", "source", "target", "read_only", "consistency", kind}
    for name in mount:
        if name not in known and not str(name).startswith("x-"):
            look.refuse(at(key, name), "is not a known key of this mount")
    if kind not in ("volume", "bind", "tmpfs"):
        look.refuse(f"{key}.type", f"may be volume, bind or tmpfs, is {shown(str(kind))}")
        return None
    target = path_in_container(look, f"{key}.target", mount.get("target"))
    if target is None:
        return None
    if ".." in PurePosixPath(target).parts or PurePosixPath(target) == PurePosixPath("/"):
        look.refuse(f"{key}.target", f"is not a place to mount at: {shown(target)}")
        return None
    read_only = mount.get("read_only") is True
    options = mount.get(kind) or {}
    if not isinstance(options, Mapping):
        look.refuse(at(key, kind), "should be a table")
        return None
    common: dict[str, Any] = {"type": "volume", "source": "", "target": target}
    if read_only:
        common["read_only"] = True
    if kind == "tmpfs":
        return _tmpfs(look, key, target, options)
    if kind == "bind":
        return _bind(look, key, common, mount.get("source"), options)
    return _volume(look, key, common, mount.get("source"), options)


def _tmpfs(look: Look, key: str, target: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    kept: dict[str, Any] = {}
    for name, one in options.items():
        if name == "size" and (size := _bounded(look, one)):
            kept["size"] = size
        elif name == "mode" and isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= 0o7777:
            kept["mode"] = one
        elif not str(name).startswith("x-"):
            look.refuse(f"{key}.tmpfs.{shown(str(name))}", f"is not right: {shown(str(one))}")
            return None
    return {"type": "tmpfs", "target": target} | ({"tmpfs": kept} if kept else {})


def _volume(
    look: Look, key: str, common: dict[str, Any], source: Any, options: Mapping[str, Any]
) -> dict[str, Any] | None:
    kept: dict[str, Any] = {}
    for name, one in options.items():
        where = f"{key}.volume.{shown(str(name))}"
        if name == "nocopy" and isinstance(one, bool):
            kept |= {"nocopy": True} if one else {}
        elif name == "subpath" and isinstance(one, str) and source:
            path = PurePosixPath(one)
            if path.is_absolute() or ".." in path.parts or not _SUBPATH.fullmatch(one):
                look.refuse(where, f"leads out of the volume: {shown(one)}")
                return None
            kept["subpath"] = one
        elif name == "labels":
            look.note(where, "is not kept")
        elif not str(name).startswith("x-"):
            look.refuse(where, f"is not right: {shown(str(one))}")
            return None
    if source in (None, ""):
        return common | ({"volume": kept} if kept else {})
    if not isinstance(source, str) or not _VOLUME.fullmatch(source) or source.startswith("cx-"):
        look.refuse(f"{key}.source", f"is not the name of a volume: {shown(str(source))}")
        return None
    look.volumes[source] = None
    return common | {"source": source} | ({"volume": kept} if kept else {})


def _bind(
    look: Look, key: str, common: dict[str, Any], source: Any, options: Mapping[str, Any]
) -> dict[str, Any] | None:
    for name in options:
        if name not in ("create_host_path", "selinux") and not str(name).startswith("x-"):
            look.refuse(f"{key}.bind.{shown(str(name))}", "reaches into the host's mounts")
            return None
    if not isinstance(source, str) or not source or not source.isprintable():
        look.refuse(f"{key}.source", "is not a path")
        return None
    if look.grants.allow(f"bind:{source}"):
        return common | {"type": "bind", "source": source, "bind": {"create_host_path": False}}
    if os.path.basename(source) in _SOCKETS:
        look.refuse(f"{key}.source", f"{shown(source)} is the engine itself: whoever holds it has the host")
        return None
    try:
        path = inside(look.checkout, source)
    except Outside:
        look.refuse(f"{key}.source", f'{shown(source)} leads out of the repository (allow = ["bind:{shown(source)}"])')
        return None
    if "$" in path or "\\" in path:
        look.refuse(f"{key}.source", f"holds a character that cannot be mounted: {shown(path)}")
        return None
    if not os.path.exists(look.checkout / path):
        volume = shortened("path-" + (re.sub(r"[^a-zA-Z0-9_.-]+", "-", path).strip("-.") or "data"), 63)
        look.volumes[volume] = None
        look.note(
            f"{key}.source", f"{shown(path)} is not in the repository: a volume of the namespace's own takes its place"
        )
        return common | {"source": volume}
    if not (os.path.isfile(look.checkout / path) or os.path.isdir(look.checkout / path)):
        look.refuse(f"{key}.source", f"{shown(path)} is neither a file nor a folder")
        return None
    look.mounted[path] = None
    return common | {"volume": {"subpath": path}}


def tmpfs(look: Look, key: str, value: Any) -> list[str] | None:
    """Compose's short form: `/run:size=64m,mode=1777`."""
    if not isinstance(value, list) or len(value) > MOUNTS_MAX:
        look.refuse(key, "should be a list of paths")
        return None
    kept = []
    for number, one in enumerate(value):
        where = f"{key}[{number}]"
        path, _, text = str(one).partition(":")
        if path_in_container(look, where, path) is None:
            continue
        options = []
        for option in filter(None, text.split(",")):
            name, _, setting = option.partition("=")
            if name == "size" and (size := _bounded(look, setting)):
                options.append(f"size={size}")
            elif option in ("rw", "ro", "exec", "noexec", "nosuid", "nodev") or (
                name in ("mode", "uid", "gid") and re.fullmatch(r"[0-9]{1,10}", setting)
            ):
                options.append(option)
            else:
                look.refuse(where, f"is not an option that a preview may set: {shown(option)}")
        kept.append(path + (":" + ",".join(options) if options else ""))
    return kept


def _bounded(look: Look, value: Any) -> int | None:
    """At most the memory of one container; None for what is no size, and for 0, which would mean no limit."""
    try:
        return min(size_bytes(value), look.caps.memory_bytes)
    except ValueError:
        return None
