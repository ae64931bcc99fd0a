"""What cx.toml says over a Compose model, and the values that templates see."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cx.core.errors import Invalid
from cx.core.names import shown
from cx.project.cx_toml import Document, Healthcheck, Service, text_of, words
from cx.project.reading import FILE, build_of, variables

_LIMITS = (("memory", "mem_limit", "memory"), ("cpus", "cpus", "cpus"))


def laid_over(
    model: dict[str, Any],
    document: Document,
    environment: str,
    values: Mapping[str, str],
    where: str,
    gone: Collection[str] = (),
) -> dict[str, Any]:
    """`model` (normal form) with cx.toml's services and environment over it. Raises Invalid.

    A service that the Compose file does not have is added when cx.toml says what it runs. `gone` are those that
    it has, and that do not run.
    """
    services = dict(model.get("services") or {})
    for name, said in document.services.items():
        if name in services or name in gone:
            continue
        if said.build is None and said.image is None:
            known = ", ".join(shown(one) for one in services) or "none"
            raise Invalid(
                FILE,
                f"services.{name}",
                f"is not a service of {where}, which has: {known}",
                remedy="with build or image it is added to them",
            )
        services[name] = {}
    for chosen in document.environments.values():
        for name in chosen.services:
            if name not in services and name not in gone:
                raise Invalid(FILE, f"environments.*.services.{name}", f"is not a service of {where}")
    changed = {}
    for name, service in services.items():
        if name in document.services:
            service = _changed(service, document.services[name])
        more = variables(document, environment, values, name)
        changed[name] = service | {"environment": {**(service.get("environment") or {}), **more}} if more else service
    return model | {"services": changed}


def _changed(service: Mapping[str, Any], said: Service) -> dict[str, Any]:
    new = dict(service)
    if build := build_of(said):
        new["build"] = {
            "context": build.context,
            "dockerfile": build.dockerfile,
            "target": build.target,
            "args": {key: text_of(value) for key, value in build.args.items()},
        }
        new.pop("image", None)
    if said.image is not None:
        new["image"] = said.image
        new.pop("build", None)
    if said.command is not None:
        new["command"] = words(said.command)
    if said.healthcheck:
        new["healthcheck"] = {**(service.get("healthcheck") or {}), **compose_healthcheck(said.healthcheck)}
        if not new["healthcheck"]:
            del new["healthcheck"]
    deploy = {**(service.get("deploy") or {})}
    resources = {**(deploy.get("resources") or {})}
    limits = {**(resources.get("limits") or {})}
    for ours, theirs, limit in _LIMITS:
        if (value := getattr(said, ours)) is not None:
            new[theirs] = value
            limits.pop(limit, None)
    if said.replicas is not None:
        new["scale"] = said.replicas
        deploy.pop("replicas", None)
    if deploy:
        new["deploy"] = deploy | ({"resources": resources | {"limits": limits}} if resources else {})
    return new


def compose_healthcheck(said: Healthcheck) -> dict[str, Any]:
    """The keys of Compose's `healthcheck` that cx.toml gives; `path` is the probe's and not among them."""
    keys = ("interval", "timeout", "start_period", "start_interval", "retries")
    found: dict[str, Any] = {key: getattr(said, key) for key in keys if getattr(said, key) is not None}
    if isinstance(said.test, str):
        found["test"] = ["CMD-SHELL", said.test]
    elif said.test is not None:
        first = said.test[0] in ("CMD", "CMD-SHELL", "NONE")
        found["test"] = list(said.test) if first else ["CMD", *said.test]
    return found


def template_services(document: Document, environment: str, values: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """cx.toml's services as templates see them."""
    seen = {}
    for name, service in document.services.items():
        build = build_of(service)
        seen[name] = {
            "image": service.image,
            "build": build
            and {
                "context": build.context,
                "dockerfile": build.dockerfile,
                "target": build.target,
                "args": {key: text_of(value) for key, value in build.args.items()},
            },
            "command": words(service.command) if service.command is not None else None,
            "environment": variables(document, environment, values, name),
            "healthcheck": compose_healthcheck(service.healthcheck) if service.healthcheck else None,
            "memory": service.memory,
            "cpus": service.cpus,
            "replicas": service.replicas,
            "port": service.port,
        }
    return seen
