"""What the engine has of a namespace, by its labels. Read-only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from docker.errors import NotFound

from cx.core.names import (
    LABEL_DATA,
    LABEL_INSTANCE,
    LABEL_NAMESPACE,
    LABEL_REVISION,
    LABEL_ROLE,
    LABEL_SERVICE,
    Names,
    Namespace,
)
from cx.core.state import Container, Observed
from cx.docker.connection import Engine, translated


def observe(engine: Engine, names: Names, namespace: Namespace) -> Observed:
    """Containers, networks, volumes and images of `namespace`; the rest of Observed is left empty."""
    labels = _labels(names, namespace)
    found = tuple(_closely(engine, one) for one in containers(engine, names, namespace))
    with translated("list what the engine has"):
        networks = engine.api.networks(filters={"label": labels})
        volumes = engine.api.volumes(filters={"label": labels})["Volumes"] or []
        images = engine.api.images(filters={"reference": names.image_prefix(namespace) + "*"})
    return Observed(
        containers=found,
        networks={one["Name"]: (one["Labels"] or {}).get(LABEL_REVISION, "") for one in networks},
        volumes={one["Name"]: (one["Labels"] or {}).get(LABEL_REVISION, "") for one in volumes if not _clone(one)},
        images=tags(images, names.image_prefix(namespace)),
    )


def containers(engine: Engine, names: Names, namespace: Namespace) -> tuple[Container, ...]:
    """The containers of `namespace`, by name: one request, where `observe` needs four."""
    with translated("list containers"):
        listed = engine.api.containers(all=True, filters={"label": _labels(names, namespace)})
    return tuple(sorted((container(one) for one in listed), key=lambda one: one.name))


def _labels(names: Names, namespace: Namespace) -> list[str]:
    return [f"{LABEL_INSTANCE}={names.instance}", f"{LABEL_NAMESPACE}={namespace}"]


def observe_all(engine: Engine, names: Names) -> dict[str, Observed]:
    """What `observe` gives, for every namespace of which this engine has anything: one listing of each kind."""
    label = {"label": f"{LABEL_INSTANCE}={names.instance}"}
    with translated("list what the engine has"):
        listed = engine.api.containers(all=True, filters=label)
        networks = engine.api.networks(filters=label)
        volumes = engine.api.volumes(filters=label)["Volumes"] or []
        images = tags(engine.api.images(filters={"reference": f"{names.instance}/*/*"}), f"{names.instance}/")

    def of(one: dict[str, Any]) -> str:
        return str((one["Labels"] or {}).get(LABEL_NAMESPACE, ""))

    found = {of(one) for one in (*listed, *networks, *volumes)} | {tag.split("/")[1] for tag in images}
    return {
        name: Observed(
            containers=tuple(_closely(engine, container(one)) for one in listed if of(one) == name),
            networks={
                one["Name"]: (one["Labels"] or {}).get(LABEL_REVISION, "") for one in networks if of(one) == name
            },
            volumes={
                one["Name"]: (one["Labels"] or {}).get(LABEL_REVISION, "")
                for one in volumes
                if of(one) == name and not _clone(one)
            },
            images=tuple(tag for tag in images if tag.split("/")[1] == name),
        )
        for name in found - {""}
    }


def _clone(volume: dict[str, Any]) -> bool:
    """Whether a volume is a clone, a snapshot, or the mark of one: those are observed and dropped as databases."""
    return (volume["Labels"] or {}).get(LABEL_ROLE, "") in ("clone", "snapshot", "mark")


def _closely(engine: Engine, one: Container) -> Container:
    """The listing says the same of who starts for the first time, and of who ends again and again."""
    if not one.starting:
        return one
    with translated(f"look at {one.name}"):
        try:
            return replace(one, restarted=engine.api.inspect_container(one.id)["RestartCount"] > 0)
        except NotFound:
            return one


def container(listed: dict[str, Any]) -> Container:
    """A container from the engine's listing. Health and exit code stand in its Status text there."""
    labels = listed["Labels"] or {}
    status = listed.get("Status", "")
    health = next((word for word in ("unhealthy", "healthy") if f"({word})" in status), "")
    if "health: starting" in status:
        health = "starting"
    code = status.removeprefix("Exited (").split(")")[0] if status.startswith("Exited (") else "0"
    return Container(
        id=listed["Id"],
        name=(listed["Names"] or [listed["Id"]])[0].lstrip("/"),  # one that is being removed has no name any more
        service=labels.get(LABEL_SERVICE, ""),
        role=labels.get(LABEL_ROLE, ""),
        revision=labels.get(LABEL_REVISION, ""),
        state=listed["State"],
        health=health,
        exit_code=int(code),
        data=labels.get(LABEL_DATA, ""),
        image=listed.get("Image", ""),
    )


def tags(images: list[dict[str, Any]], prefix: str) -> tuple[str, ...]:
    return tuple(sorted(tag for one in images for tag in one["RepoTags"] or () if tag.startswith(prefix)))
