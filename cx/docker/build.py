"""Builds images with BuildKit. An image is named by the digest of what goes into it, so that one that is
there is not built again, whichever namespace built it first.

What a build may take in, BuildKit itself holds to, whatever the Dockerfile or its frontend (`# syntax=`) asks for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cx.core.blueprint import Build
from cx.core.errors import BuildFailed
from cx.core.names import Names, Namespace, shown
from cx.core.reconcile import Checkout
from cx.docker.compose import CommandFailed, environment, plugin, run
from cx.docker.connection import Engine, translated


def build(
    engine: Engine,
    names: Names,
    namespace: Namespace,
    wanted: Build,
    checkout: Checkout,
    *,
    caches: str,
    timeout_s: float,
    line: Callable[[str], None],
) -> None:
    """The image of `wanted` is there under the namespace's name. Raises BuildFailed with the last lines.

    Its cache mounts are those of other builds that were given the same `caches`, and nobody else's.
    """
    image = names.image(namespace, wanted.service, wanted.digest)
    if _shared(engine, names, wanted, image):
        return
    folder = checkout()
    argv = [
        *plugin("buildx"),
        "build",
        "--builder=default",  # the engine's own, whichever the user has chosen for other work
        "--progress",
        "plain",
        "--load",
        "--provenance=false",
        "--network=default",
    ]
    argv += ["--file", str(folder / wanted.dockerfile), "--tag", image]
    labels = names.labels(namespace, "image", service=wanted.service, build=wanted.digest)
    argv += [f"--label={key}={value}" for key, value in labels.items()]
    argv += [f"--build-arg={key}={value}" for key, value in sorted(wanted.args.items())]
    told = apart(caches, (folder / wanted.dockerfile).read_bytes())
    argv += [f"--build-arg={name}" for name in told]  # from the environment: what they hold is in no list of processes
    argv += [f"--target={wanted.target}"] if wanted.target else []
    argv.append(str(folder / wanted.context))
    with tempfile.TemporaryDirectory(prefix="cx-") as aside:
        policy = Path(aside) / "policy.json"
        policy.write_text(json.dumps(source_policy(names.instance, fetches=wanted.fetches)))
        env = environment(BUILDX_GIT_INFO="false", EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=str(policy), **told)
        try:
            run(argv, timeout_s=timeout_s, line=line, env=env)
        except CommandFailed as exc:
            raise _failed(namespace, wanted, exc) from exc


def caches(key: str, scope: str) -> str:
    """Whose caches a scope's builds have. Without the key nobody knows it, so that no frontend of a project's own can
    name another scope's."""
    return hmac.new(key.encode(), f"caches of {scope}".encode(), hashlib.sha256).hexdigest()


def apart(caches: str, dockerfile: bytes) -> dict[str, str]:
    """The build arguments that keep its cache mounts, and the layers that are made with them, from other scopes.

    BuildKit finds a layer again by all that went into it but the cache mounts: the host's name, which goes in, makes
    it another. Without cache mounts a layer may be anybody's.
    https://docs.docker.com/reference/dockerfile/#buildkit-built-in-build-args
    """
    told = {"BUILDKIT_CACHE_MOUNT_NS": caches[:32]}
    if b"cache" in dockerfile.lower():
        told["BUILDKIT_SANDBOX_HOSTNAME"] = f"build-{caches[32:]}"
    return told


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


def _failed(namespace: Namespace, wanted: Build, exc: CommandFailed) -> BuildFailed:
    what = f"{namespace}: the image of service {wanted.service} did not build"
    if denied := re.search(r'source "([^"]+)" (?:denied|not allowed) by policy', exc.what):
        remedy = "images of that name are cx's own, of other previews"
        if not denied[1].startswith("docker-image:"):
            remedy = 'the engine would fetch it by itself: let RUN fetch it, or have the host\'s owner allow "add_url"'
        return BuildFailed(f"{what}: it may not take in {shown(denied[1], 200)}", remedy=remedy, log=exc.log[-20:])
    return BuildFailed(
        f"{what}: {exc.what}",
        remedy="mend its Dockerfile and deploy again; the old revision, if any, still serves",
        log=exc.log[-20:],
    )


def _shared(engine: Engine, names: Names, wanted: Build, image: str) -> bool:
    """True when an image of the same digest was there already; it has `image` for a name now, too.

    By its name, which only a build of ours can have: any image that a project pulls can carry our labels.
    """
    with translated("look for the image"):
        found = engine.api.images(filters={"reference": f"{names.instance}/*/*:{wanted.digest}"})
        if found:
            engine.api.tag(found[0]["Id"], image.rpartition(":")[0], image.rpartition(":")[2])
    return bool(found)


def untag(engine: Engine, image: str) -> None:
    """The name `image` is gone; the image itself when that was its last name. Safe to repeat."""
    from docker.errors import ImageNotFound

    with translated(f"remove image {image}"):
        try:
            engine.api.remove_image(image)
        except ImageNotFound:
            return
