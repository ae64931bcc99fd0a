"""Builds images with BuildKit. An image is named by the digest of what goes into it, so that one that is
there is not built again, whichever namespace built it first.

What a build may take in, BuildKit itself holds to, whatever the Dockerfile or its frontend (`# syntax=`) asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager

from cx.core.blueprint import Build
from cx.core.errors import BuildFailed
from cx.core.names import Names, Namespace, shown
from cx.core.ports import Checkout
from cx.docker.bake import Scope, Target, bake, source_policy
from cx.docker.compose import CommandFailed
from cx.docker.connection import Engine, translated


def build(
    engine: Engine,
    names: Names,
    namespace: Namespace,
    wanted: Build,
    checkout: Checkout,
    *,
    scope: Scope,
    turn: Callable[[], AbstractContextManager[int]],
    timeout_s: float,
    line: Callable[[str], None],
    still_wanted: Callable[[], None],
) -> None:
    """The image of `wanted` is there under the namespace's name. Raises BuildFailed with the last lines.

    Whatever its build shares with another, a cache mount, a layer or a file of its context, that one had the same
    `scope`. `turn` waits until nobody of another scope builds.
    """
    image = names.image(namespace, wanted.service, wanted.digest)
    if _shared(engine, names, wanted, image):
        return
    folder = checkout()
    labels = names.labels(namespace, "image", service=wanted.service, build=wanted.digest)
    target = Target(
        folder / wanted.context, folder / wanted.dockerfile, image, labels, wanted.args, wanted.target or None
    )
    policy = source_policy(names.instance, fetches=wanted.fetches)
    try:
        with turn() as held:
            if _shared(engine, names, wanted, image):  # others built it while this waited
                return
            # Beside the checkout, with which everything goes that a pass leaves which dies.
            bake(
                target,
                scope,
                policy,
                turn=held,
                aside=folder.parent,
                timeout_s=timeout_s,
                line=line,
                still_wanted=still_wanted,
            )
    except CommandFailed as exc:
        raise _failed(namespace, wanted, exc) from exc


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
