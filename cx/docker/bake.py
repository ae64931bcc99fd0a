"""Has BuildKit build: what it is told, whom the build shares anything with, and what it must not take in.

buildx is told by a definition in a file, and not by its arguments or its environment, as `--build-arg` would have it:
any user of the host reads the one, and the values of a project's own would steer the other (PATH, DOCKER_HOST).
https://docs.docker.com/build/bake/reference/
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cx.docker.compose import environment, plugin, run

TARGET = "image"


@dataclass(frozen=True)
class Scope:
    """Keyed names of one scope, by which its builds share with each other and with nobody else.

    `mounts` is the name space of cache mounts. `hostname` is what a step's container is called: BuildKit finds a layer
    again by all that went into it but some things that its steps felt (a proxy, cache mounts, addresses of hosts), and
    the hostname goes into every step. `contexts`: of a context whose files have the same names, sizes and times as
    one of before only the others are sent, wherever the folders' last parts and this are the same.
    https://docs.docker.com/reference/dockerfile/#buildkit-built-in-build-args
    """

    mounts: str
    hostname: str
    contexts: str

    @classmethod
    def of(cls, key: str, scope: str) -> Scope:
        """Without the key nobody knows them, so that no frontend of a project's own can name another scope's."""
        digest = hmac.new(key.encode(), f"caches of {scope}".encode(), hashlib.sha256).hexdigest()
        contexts = hmac.new(key.encode(), f"contexts of {scope}".encode(), hashlib.sha256).hexdigest()
        return cls(digest[:32], f"build-{digest[32:]}", contexts)

    @property
    def args(self) -> dict[str, str]:
        return {"BUILDKIT_CACHE_MOUNT_NS": self.mounts, "BUILDKIT_SANDBOX_HOSTNAME": self.hostname}


@dataclass(frozen=True)
class Target:
    """An image to build; its paths are of the host, and `stage` is the Dockerfile's last stage that counts."""

    context: Path
    dockerfile: Path
    tag: str
    labels: Mapping[str, str]
    args: Mapping[str, str]
    stage: str | None = None

    def definition(self, scope: Scope) -> dict[str, Any]:
        image: dict[str, Any] = {
            "context": str(self.context),
            "dockerfile": str(self.dockerfile),
            "tags": [self.tag],
            "labels": dict(self.labels),
            "args": {**self.args, **scope.args},
            "network": "default",
        }
        image |= {"target": self.stage} if self.stage else {}
        return {"target": {TARGET: literal(image)}}


def bake(
    target: Target,
    scope: Scope,
    policy: Mapping[str, Any],
    *,
    turn: int,
    aside: Path | None = None,
    timeout_s: float,
    line: Callable[[str], None] | None = None,
    still_wanted: Callable[[], None] = lambda: None,
) -> None:
    """The engine has the image. Raises CommandFailed, Retryable (timeout).

    It is the scope's turn to build, which `turn`, its descriptor, keeps as long as buildx lives. What buildx is given,
    and what it keeps of that, is in a folder in `aside` meanwhile, and nowhere else.
    """
    argv = [*plugin("buildx"), "bake"]
    argv += ["--builder=default"]  # the engine's own, whichever the user has chosen for other work
    argv += ["--progress", "plain", "--load", "--provenance=false", "--file"]
    with tempfile.TemporaryDirectory(prefix="build-", dir=aside) as name:
        folder = Path(name)
        own, definition, rules = folder / "buildx", folder / "image.json", folder / "policy.json"
        own.mkdir()
        (own / ".buildNodeID").write_text(scope.contexts)
        definition.write_text(json.dumps(target.definition(scope)))
        rules.write_text(json.dumps(policy))
        env = environment(
            BUILDX_CONFIG=str(own),
            BUILDX_BAKE_ENTITLEMENTS_FS="false",  # which would ask whether we may read what we ourselves have named
            EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=str(rules),
        )
        argv += [str(definition), TARGET]
        run(argv, timeout_s=timeout_s, line=line, env=env, descriptors=[turn], still_wanted=still_wanted)


def literal(value: Any) -> Any:
    """`value` for a bake file, in which texts are templates.

    https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#template-expressions
    """
    if isinstance(value, str):
        return re.sub(r"([$%])\{", r"\1\1{", value)
    if isinstance(value, Mapping):
        return {literal(key): literal(inner) for key, inner in value.items()}
    return [literal(inner) for inner in value]


def source_policy(instance: str, *, fetches: bool) -> dict[str, Any]:
    """What a build must not take in: images of cx's own, and (without `fetches`) what the engine would fetch by itself.

    It fetches from the host's own network, where 127.0.0.1 is the host; what RUN fetches comes by the build's.
    https://docs.docker.com/build/building/variables/#experimental_buildkit_source_policy
    """
    denied = [rf"^docker-image://(?:(?:index\.)?docker\.io/)?(?:library/)?{re.escape(instance)}/"]
    denied += [] if fetches else ["^(?:https?|git)://"]
    return {
        "rules": [{"action": "DENY", "selector": {"identifier": pattern, "match_type": "REGEX"}} for pattern in denied]
    }
