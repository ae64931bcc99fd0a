"""Builds images with BuildKit. An image is named by the digest of what goes into it, so that one that is
there is not built again, whichever namespace built it first."""

from __future__ import annotations

from collections.abc import Callable

from cx.adapters.docker.compose import CommandFailed, environment, plugin, run
from cx.adapters.docker.engine import Engine, translated
from cx.errors import BuildFailed
from cx.model.blueprint import Build
from cx.model.names import LABEL_BUILD, LABEL_INSTANCE, Names, Namespace
from cx.reconcile import Checkout


def build(
    engine: Engine,
    names: Names,
    namespace: Namespace,
    wanted: Build,
    checkout: Checkout,
    *,
    timeout_s: float,
    line: Callable[[str], None],
) -> None:
    """The image of `wanted` is there under the namespace's name. Raises BuildFailed with the last lines."""
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
    argv += [f"--target={wanted.target}"] if wanted.target else []
    argv.append(str(folder / wanted.context))
    try:
        run(argv, timeout_s=timeout_s, line=line, env=environment(BUILDX_GIT_INFO="false"))
    except CommandFailed as exc:
        raise BuildFailed(
            f"{namespace}: the image of service {wanted.service} did not build: {exc.what}",
            remedy="mend its Dockerfile and deploy again; the old revision, if any, still serves",
            log=exc.log[-20:],
        ) from exc


def _shared(engine: Engine, names: Names, wanted: Build, image: str) -> bool:
    """True when an image of the same digest was there already; it has `image` for a name now, too."""
    label = [f"{LABEL_INSTANCE}={names.instance}", f"{LABEL_BUILD}={wanted.digest}"]
    with translated("look for the image"):
        found = engine.api.images(filters={"label": label})
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
