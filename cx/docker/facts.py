"""What the engine has of a namespace, by its labels. Read-only."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from docker.errors import NotFound

from cx.core.names import (
    LABEL_DATA,
    LABEL_INSTANCE,
    LABEL_NAMESPACE,
    LABEL_RESTART,
    LABEL_REVISION,
    LABEL_ROLE,
    LABEL_SERVICE,
    Names,
    Namespace,
    natural,
)
from cx.core.state import Container, Observed
from cx.docker.connection import Engine, translated
from cx.docker.containers import ASLEEP

YOUNG = ("Up Less", "second", "minute", "Up About an hour")  # as the listing tells of what began within the hour
JOB_MAX = timedelta(minutes=30)  # what has run for longer is a service, unless the project says that it ends


def observe(engine: Engine, names: Names, namespace: Namespace) -> Observed:
    """Containers, networks, volumes and images of `namespace`; the rest of Observed is left empty."""
    mine = {"label": labels(names, namespace)}
    found = tuple(closely(engine, one) for one in containers(engine, names, namespace))
    with translated("list what the engine has"):
        networks = engine.api.networks(filters=mine)
        volumes = engine.api.volumes(filters=mine)["Volumes"] or []
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
        listed = engine.api.containers(all=True, filters={"label": labels(names, namespace)})
    return tuple(sorted((container(one) for one in listed), key=lambda one: natural(one.name)))


def labels(names: Names, namespace: Namespace) -> list[str]:
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
            containers=tuple(closely(engine, container(one)) for one in listed if of(one) == name),
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


def closely(engine: Engine, one: Container, since: datetime | None = None) -> Container:
    """`one` with what the listing does not say: whether one that starts has ended before, and whether one that has
    ended with 0 is done; what outlives revisions is not where it began before `since`."""
    if not one.starting and not (one.done and one.role in ("service", "pinned")):
        return one
    with translated(f"look at {one.name}"):
        try:
            found = engine.api.inspect_container(one.id)
        except NotFound:
            return one
    return replace(one, restarted=found["RestartCount"] > 0, interrupted=_interrupted(one, found, since))


def _interrupted(one: Container, found: dict[str, Any], since: datetime | None) -> bool:
    """Somebody has put it to sleep while it ran; or it ran so long that it is no job, and ended with its machine."""
    began, ended = moment(found["State"]["StartedAt"]), moment(found["State"]["FinishedAt"])
    return (
        found["HostConfig"]["RestartPolicy"]["Name"] == ASLEEP
        or (one.restart == "default" and ended - began > JOB_MAX)
        or (one.role == "pinned" and since is not None and began < since)
    )


def moment(text: str) -> datetime:
    """A time as the engine writes it."""
    return datetime.fromisoformat(text)


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
        restart=labels.get(LABEL_RESTART, "always"),
        young=listed["State"] == "restarting" or any(word in status for word in YOUNG),
    )


def tags(images: list[dict[str, Any]], prefix: str) -> tuple[str, ...]:
    return tuple(sorted(tag for one in images for tag in one["RepoTags"] or () if tag.startswith(prefix)))
