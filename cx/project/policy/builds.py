"""What a build may take in: a folder and a Dockerfile of the checkout, a stage, arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cx.core.names import shown
from cx.project.checkout import Outside, inside
from cx.project.policy.findings import Look, at
from cx.project.policy.values import is_text, labels

DOCKERFILE_MAX_BYTES = 256 * 1024

# Build key -> None: taken (below); else why it is refused. What is not listed here or in DROPPED is refused.
REFUSED: Mapping[str, str] = {
    "additional_contexts": "brings in what is outside the repository",
    "dockerfile_inline": "put it into a Dockerfile of the repository",
    "entitlements": "gives the build the host",
    "extra_hosts": "gives the build names of other machines",
    "isolation": "is not for a preview to choose",
    "network": "gives the build the host's network, or another container's",
    "privileged": "gives the build the host",
    "secrets": "gives the build secrets of the host",
    "ssh": "gives the build keys of the host",
    "ulimits": "is not for a preview to choose",
}
TAKEN = frozenset({"context", "dockerfile", "target", "args", "labels"})
DROPPED = frozenset(
    {
        "cache_from",
        "cache_to",
        "no_cache",
        "no_cache_filter",
        "platforms",
        "provenance",
        "pull",
        "sbom",
        "shm_size",
        "tags",
    }
)


@dataclass(frozen=True)
class BuildInput:
    """A build that passed: paths relative to the checkout, free of symlinks. `network: default` is no request."""

    context: str
    dockerfile: str
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    fetches: bool = False


def harmless(key: str, value: Any) -> bool:
    """True for a refused key's value that asks for nothing."""
    return value in (None, False, "", [], {}) or (key in ("network", "isolation") and value == "default")


def build(look: Look, key: str, value: Any) -> BuildInput | None:
    if not isinstance(value, Mapping):
        look.refuse(key, "should be a table")
        return None
    for name, one in value.items():
        where = at(key, name)
        if name in REFUSED:
            if not harmless(name, one):
                look.refuse(where, REFUSED[name])
        elif name in DROPPED:
            if one:
                look.note(where, "is not kept")
        elif name == "labels":
            labels(look, where, one or {})
        elif name not in TAKEN and not str(name).startswith("x-"):
            look.refuse(where, "is not known to cx")
    before = len(look.reasons)
    context = _path(look, at(key, "context"), value.get("context"), ".")
    file = value.get("dockerfile") or "Dockerfile"
    dockerfile = _path(look, at(key, "dockerfile"), file, context) if context is not None else None
    if context is not None and not os.path.isdir(look.checkout / context):
        look.refuse(at(key, "context"), f"{shown(context)} is not a folder of the repository")
    elif dockerfile is not None and not os.path.isfile(look.checkout / dockerfile):
        look.refuse(at(key, "dockerfile"), f"{shown(dockerfile)} is not a file of the repository")
    elif dockerfile is not None and os.path.getsize(look.checkout / dockerfile) > DOCKERFILE_MAX_BYTES:
        look.refuse(at(key, "dockerfile"), f"is longer than {DOCKERFILE_MAX_BYTES // 1024} KiB")
    target = value.get("target")
    if target is not None and not (
        isinstance(target, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", target)
    ):
        look.refuse(at(key, "target"), "is not the name of a stage")
    args = _args(look, at(key, "args"), value.get("args") or {})
    if len(look.reasons) > before or context is None or dockerfile is None:
        return None
    return BuildInput(context, dockerfile, target or None, args, look.grants.allow("add_url"))


def _path(look: Look, key: str, value: Any, base: str) -> str | None:
    if not isinstance(value, str) or not value or not value.isprintable():
        look.refuse(key, "is not a path")
        return None
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|git@|github\.com/", value):
        look.refuse(key, f"is not in the repository: {shown(value)}")
        return None
    try:
        return inside(look.checkout, value, base=base)
    except Outside:
        look.refuse(key, f"{shown(value)} leads out of the repository")
        return None


def _args(look: Look, key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        look.refuse(key, "should be a table")
        return {}
    kept = {}
    for name, one in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,254}", name):
            look.refuse(at(key, name), "is not the name of a build argument")
        elif name.startswith("BUILDKIT_"):
            look.refuse(at(key, name), "steers the builder itself")
        elif one is None:
            look.note(at(key, name), "has no value here (cx passes none of the host's on): left out")
        elif name.lower().endswith("_proxy"):
            # What a proxy answered is in layers, which the builder takes for those of builds without one.
            if one:
                look.refuse(
                    at(key, name), "is a proxy that the builder's cache does not see: ENV in the Dockerfile is seen"
                )
            else:
                look.note(at(key, name), "is empty: left out")
        elif not is_text(one):
            look.refuse(at(key, name), "should be text without control characters")
        else:
            kept[name] = one
    return kept
