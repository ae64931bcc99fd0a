"""Copies what the policy allows of a Compose model, and refuses it as a whole when anything else is in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cx.core.errors import Invalid, Refused
from cx.core.names import check_service, shown
from cx.project.checkout import Outside, inside
from cx.project.policy import builds, values
from cx.project.policy.builds import BuildInput
from cx.project.policy.findings import Look, at
from cx.project.policy.table import DEPLOY, NETWORK, SERVICE, TOP, VOLUME, Drop, Entry, Keep, Refuse, Use

VOLUMES_MAX = 40
ALIASES_MAX = 20
_ALIAS = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9_])?")
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_ENV_FILE_MAX_BYTES = 64 * 1024


@dataclass
class Admitted:
    """One service that passed: what to run, and what else its mapping says."""

    model: dict[str, Any]
    build: BuildInput | None = None
    published: tuple[int, ...] = ()  # TCP, inside the container, in the order of the file
    exposed: tuple[int, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


@dataclass
class Admission:
    services: dict[str, Admitted]
    volumes: tuple[str, ...]
    mounted: tuple[str, ...]
    notes: tuple[str, ...]


def screen(document: Mapping[str, Any], look: Look, where: str) -> None:
    """Raises Refused for the keys that are refused whatever else is there, before any program reads the model."""
    if "services" not in document and any(
        isinstance(one, Mapping) and {"image", "build"} & set(one) and key not in TOP and not key.startswith("x-")
        for key, one in document.items()
    ):
        raise Invalid(
            where,
            "services",
            "is not there: this is the first format of Compose",
            remedy="put all of it under services:",
        )
    for key, value in document.items():
        entry = TOP.get(key)
        if key.startswith("x-"):
            continue
        if entry is None:
            look.refuse(shown(key), "is not known to cx")
        elif isinstance(entry, Refuse) and entry.asks(value):
            look.refuse(key, entry.why)
    services = document.get("services")
    for name, service in services.items() if isinstance(services, Mapping) else ():
        for key, value in service.items() if isinstance(service, Mapping) else ():
            entry = SERVICE.get(key)
            place = f"services.{shown(name)}.{shown(key)}"
            if isinstance(entry, Refuse) and entry.asks(value):
                if entry.grant and look.grants.allow(entry.grant):
                    _env_files(look, place, value)
                else:
                    look.refuse(place, entry.why + (f' (allow = ["{entry.grant}"])' if entry.grant else ""))
            elif entry is None and not key.startswith("x-"):
                look.refuse(place, "is not known to cx")
        inner = service.get("build") if isinstance(service, Mapping) else None
        for key, value in inner.items() if isinstance(inner, Mapping) else ():
            if key in builds.REFUSED and not builds.harmless(key, value):
                look.refuse(f"services.{shown(name)}.build.{key}", builds.REFUSED[key])
    if look.reasons:
        raise Refused(where, look.reasons)


def admit(model: Mapping[str, Any], look: Look, where: str) -> Admission:
    """What the normalised `model` may have. Raises Refused with everything that it may not."""
    _keys(look, "", model, TOP)
    services = _table(look, "services", model.get("services"))
    _outer(look, "volumes", model.get("volumes"), VOLUME)
    _outer(look, "networks", model.get("networks"), NETWORK)
    look.services = frozenset(name for name in services if isinstance(name, str))
    if len(services) > look.caps.services:
        look.refuse("services", f"{len(services)} of them; a project may have {look.caps.services}")
        services = {}
    admitted = {}
    for name, service in _as_built(look, services).items():
        key = at("services", name)
        _check_name(look, key, name)
        if not isinstance(service, Mapping):
            look.refuse(key, "should be a table")
            continue
        admitted[str(name)] = _service(look, key, str(name), service)
    if len(look.volumes) > VOLUMES_MAX:
        look.refuse("volumes", f"{len(look.volumes)} of them; a project may have {VOLUMES_MAX}")
    if look.reasons:
        raise Refused(where, look.reasons)
    _links(look, services, admitted)
    _leave_out(look, admitted)
    return Admission(admitted, tuple(look.volumes), tuple(look.mounted), tuple(look.notes))


def _as_built(look: Look, services: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A service that runs the image which another one builds, by its name, is built like that one."""
    builds = {
        one["image"]: (name, one["build"])
        for name, one in services.items()
        if isinstance(one, Mapping) and isinstance(one.get("image"), str) and one.get("build")
    }
    found = dict(services)
    for name, one in services.items():
        if not isinstance(one, Mapping) or one.get("build") or not isinstance(one.get("image"), str):
            continue
        if one["image"] in builds:
            other, build = builds[one["image"]]
            look.note(at("services", name), f"is built as {shown(str(other))} is, whose image it runs")
            found[name] = {**one, "build": build}
    return found


def _service(look: Look, key: str, name: str, service: Mapping[str, Any]) -> Admitted:
    kept = _keys(look, key, service, SERVICE)
    used = {part: value for part, value in service.items() if isinstance(SERVICE.get(part), Use) and value is not None}
    one = Admitted(kept)
    if "build" in used:
        one.build = builds.build(look, at(key, "build"), used["build"])
        kept["image"] = ""
    elif not kept.get("image") and not service.get("image"):
        look.refuse(key, "has neither image nor build")
    _limits(look, key, used, kept)
    _restart(look, at(key, "deploy.restart_policy"), used.get("deploy"), kept)
    if needs := _depends_on(look, at(key, "depends_on"), used.get("depends_on")):
        kept["depends_on"] = needs
    one.labels = values.labels(look, at(key, "labels"), used.get("labels") or {}) or {}
    one.published = _published(look, at(key, "ports"), used.get("ports"))
    one.exposed = _exposed(look, at(key, "expose"), used.get("expose"))
    one.aliases = _aliases(look, at(key, "networks"), name, used.get("networks"))
    own = str(used.get("container_name") or "")
    if _good_alias(own) and own != name:
        look.note(at(key, "container_name"), "is kept as a further name in the namespace's network only")
        one.aliases = (*(alias for alias in one.aliases if alias != own), own)
    return one


def _keys(look: Look, key: str, value: Mapping[str, Any], table: Mapping[str, Entry]) -> dict[str, Any]:
    """What `table` keeps of `value`; the rest is noted or refused."""
    kept: dict[str, Any] = {}
    for part, one in value.items():
        entry = table.get(part)
        where = at(key, part)
        if isinstance(entry, Keep):
            if one is not None and (taken := entry.take(look, where, one)) is not None:
                kept[part] = taken
        elif isinstance(entry, Refuse):
            if entry.asks(one) and not (entry.grant and look.grants.allow(entry.grant)):
                look.refuse(where, entry.why)
        elif isinstance(entry, Drop):
            if entry.note and one not in (None, False, "", [], {}):
                look.note(where, entry.note)
        elif entry is None and not str(part).startswith("x-"):
            look.refuse(where, "is not known to cx")
    return kept


def _outer(look: Look, key: str, value: Any, table: Mapping[str, Entry]) -> None:
    """Volumes and networks of the project: only what they ask for beyond their being there matters."""
    found = _table(look, key, value)
    for name, one in found.items():
        where = at(key, name)
        _keys(look, where, _table(look, where, one), {**table, "name": Drop("")})
        if isinstance(one, Mapping):
            values.labels(look, at(where, "labels"), one.get("labels") or {})


def _limits(look: Look, key: str, used: Mapping[str, Any], kept: dict[str, Any]) -> None:
    deploy = _table(look, at(key, "deploy"), used.get("deploy"))
    _keys(look, at(key, "deploy"), deploy, DEPLOY)
    values.labels(look, at(key, "deploy.labels"), deploy.get("labels") or {})
    resources = _table(look, at(key, "deploy.resources"), deploy.get("resources"))
    limits = _table(look, at(key, "deploy.resources.limits"), resources.get("limits"))
    reservations = _table(look, at(key, "deploy.resources.reservations"), resources.get("reservations"))
    for place, found, known in (
        ("deploy.resources", resources, {"limits", "reservations"}),
        ("deploy.resources.limits", limits, {"memory", "cpus", "pids"}),
        ("deploy.resources.reservations", reservations, {"memory", "cpus"}),
    ):
        for part, value in found.items():
            if part not in known and value and not str(part).startswith("x-"):
                look.refuse(at(at(key, place), part), "gives devices of the host")
    for name, inner, take in (
        ("mem_limit", "memory", values.memory),
        ("cpus", "cpus", values.cpus),
        ("pids_limit", "pids", values.pids),
    ):
        asked: list[Any] = []
        if used.get(name) is not None:
            asked.append(take(look, at(key, name), used[name]))
        if limits.get(inner) is not None:
            asked.append(take(look, at(key, f"deploy.resources.limits.{inner}"), limits[inner]))
        if least := [one for one in asked if one is not None]:
            kept[name] = min(least)
    for place, value in (("deploy.replicas", deploy.get("replicas")), ("scale", used.get("scale"))):
        count = values.replicas(look, at(key, place), value) if value is not None else None
        if count is not None and count != 1:
            kept["deploy"] = {"replicas": count}


def _restart(look: Look, key: str, deploy: Any, kept: dict[str, Any]) -> None:
    """`deploy.restart_policy` holds where there is no `restart`, as for Compose."""
    said = deploy.get("restart_policy") if isinstance(deploy, Mapping) else None
    policy = _table(look, key, said)
    if "restart" in kept or not policy.get("condition"):
        return
    condition, most = policy["condition"], policy.get("max_attempts")
    if condition == "on-failure" and isinstance(most, int) and not isinstance(most, bool) and most > 0:
        condition = f"on-failure:{most}"
    if (taken := values.restart(look, at(key, "condition"), condition)) is not None:
        kept["restart"] = taken


def _depends_on(look: Look, key: str, value: Any) -> dict[str, Any]:
    kept = {}
    for name, need in _table(look, key, value).items():
        need = _table(look, at(key, name), need)
        condition = need.get("condition", "service_started")
        if name not in look.services:
            if need.get("required") is not False:
                look.refuse(at(key, name), "is not a service of the project")
        elif condition not in _CONDITIONS:
            look.refuse(at(key, name), f"condition may be one of {', '.join(_CONDITIONS)}")
        else:
            kept[name] = {"condition": condition, "required": need.get("required") is not False}
    return kept


def _published(look: Look, key: str, value: Any) -> tuple[int, ...]:
    ports = []
    for one in value if isinstance(value, list) else ():
        number = one.get("target") if isinstance(one, Mapping) else None
        if isinstance(number, int) and 0 < number < 65536 and one.get("protocol", "tcp") == "tcp":
            ports.append(number)
    if value:
        look.note(key, "nothing is published on the host: the router leads to the service")
    return tuple(dict.fromkeys(ports))


def _exposed(look: Look, key: str, value: Any) -> tuple[int, ...]:
    ports = []
    for one in value if isinstance(value, list) else ():
        number, _, protocol = str(one).partition("/")
        first = number.partition("-")[0]
        if re.fullmatch(r"[0-9]{1,5}", first) and 0 < int(first) < 65536 and protocol in ("", "tcp"):
            ports.append(int(first))
    return tuple(dict.fromkeys(ports))


def _aliases(look: Look, key: str, name: str, value: Any) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for network, options in _table(look, key, value).items():
        options = _table(look, at(key, network), options)
        aliases = options.get("aliases") or []
        for alias in aliases if isinstance(aliases, list) else [aliases]:
            if _good_alias(alias):
                found[alias] = None
            else:
                look.refuse(f"{at(key, network)}.aliases", f"is not a name: {shown(str(alias))}")
        for part in options:
            if part != "aliases" and options[part] is not None and not str(part).startswith("x-"):
                look.note(at(at(key, network), part), "is not kept: a namespace has one network")
    if len(found) > ALIASES_MAX:
        look.refuse(key, f"more than {ALIASES_MAX} aliases")
    return tuple(alias for alias in found if alias != name)


def _links(look: Look, services: Mapping[str, Any], admitted: Mapping[str, Admitted]) -> None:
    """`links: ["db:database"]` becomes an alias of db, which the one network makes good for all."""
    for name, service in services.items():
        for link in service.get("links") or ():
            other, _, alias = str(link).partition(":")
            if other in admitted and alias and alias != other and _good_alias(alias):
                admitted[other].aliases = tuple(dict.fromkeys([*admitted[other].aliases, alias]))
            elif other not in admitted or (alias and not _good_alias(alias)):
                look.note(f"services.{shown(name)}.links", f"{shown(str(link))} is not kept")


def _leave_out(look: Look, admitted: dict[str, Admitted]) -> None:
    """A service with 0 replicas is left out, and nobody waits for it."""
    for name in [name for name, one in admitted.items() if one.model.get("deploy") == {"replicas": 0}]:
        del admitted[name]
        look.note(f"services.{shown(name)}", "has 0 replicas: left out")
        for other in admitted.values():
            other.model.get("depends_on", {}).pop(name, None)


def _good_alias(alias: Any) -> bool:
    return isinstance(alias, str) and bool(_ALIAS.fullmatch(alias)) and not alias.lower().startswith("cx-")


def _check_name(look: Look, key: str, name: Any) -> None:
    try:
        check_service(str(name))
    except ValueError as exc:
        look.refuse(key, str(exc))
    if str(name).lower().startswith("cx-") or re.search(r"-cx[0-9]+$", str(name)):
        look.refuse(key, "names of cx's own begin with cx- or end with -cx and a number")


def _env_files(look: Look, key: str, value: Any) -> None:
    """With the grant `env_file`: regular files of the checkout."""
    for one in value if isinstance(value, list) else [value]:
        path = one.get("path") if isinstance(one, Mapping) else one
        try:
            real = look.checkout / inside(look.checkout, str(path), base=look.base)
        except Outside:
            look.refuse(key, f"{shown(str(path))} leads out of the repository")
            continue
        needed = not (isinstance(one, Mapping) and one.get("required") is False)
        if needed and "$" not in str(path) and not os.path.lexists(real):
            look.refuse(key, f"{shown(str(path))} is not in the repository: commit it, or write required: false")
        elif "$" in str(path) or (real.exists() and (not real.is_file() or real.stat().st_size > _ENV_FILE_MAX_BYTES)):
            look.refuse(key, f"{shown(str(path))} is not a file of up to {_ENV_FILE_MAX_BYTES // 1024} KiB")


def _table(look: Look, key: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    look.refuse(key, "should be a table")
    return {}
