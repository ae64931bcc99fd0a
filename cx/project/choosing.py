"""Which services of a Compose file do not run: those of a profile that nobody chose, and those that cx.toml leaves out.

What they ask for is taken away before the policy looks and before Compose reads: nobody reads or runs it, so it need
not be allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cx.core.names import shown
from cx.project.cx_toml import Document
from cx.project.reading import FILE

PROFILES = "COMPOSE_PROFILES"
_CHOOSES = re.compile(rf"^[^\S\n]*(?:export\s+)?{PROFILES}\b", re.MULTILINE)  # Compose judges what


def chosen(
    raw: Mapping[str, Any], document: Document, dotenv: str, variables: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """`raw` without what services ask for that do not run, and those services: name -> why.

    `dotenv` is the project's `.env`. Of one whose profile is not chosen the name stays, for others may wait for it
    where it is there.
    """
    services = raw.get("services")
    if not isinstance(services, Mapping):
        return dict(raw), {}
    any_profile = PROFILES in variables or re.search(_CHOOSES, dotenv)
    said = document.services
    left_out = [name for name in services if name in said and said[name].replicas == 0]
    gone = dict.fromkeys(left_out, f"is left out: {FILE} gives it 0 replicas")
    kept: dict[str, Any] = {}
    for name, service in services.items():
        profiles = service.get("profiles") if isinstance(service, Mapping) else None
        if name in left_out:
            continue
        if isinstance(profiles, list) and profiles and not any_profile:
            gone[name] = f"is left out: nobody chose its profile ({PROFILES} in .env or [environment] of {FILE} would)"
            kept[name] = {"image": "left-out", "profiles": profiles}
        else:
            kept[name] = _without(service, left_out) if isinstance(service, Mapping) else service
    return {**raw, "services": kept}, gone


def notes(gone: Mapping[str, str]) -> list[str]:
    return [f"services.{shown(name)}: {why}" for name, why in gone.items()]


def _without(service: Mapping[str, Any], gone: list[str]) -> dict[str, Any]:
    """`service`, waiting for none of `gone` and linked to none."""
    kept = dict(service)
    needs, links = service.get("depends_on"), service.get("links")
    if isinstance(needs, Mapping):
        kept["depends_on"] = {name: need for name, need in needs.items() if name not in gone}
    elif isinstance(needs, list):
        kept["depends_on"] = [name for name in needs if name not in gone]
    if isinstance(links, list):
        kept["links"] = [link for link in links if str(link).partition(":")[0] not in gone]
    return kept
