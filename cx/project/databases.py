"""Which of a project's services are a database of the host: those become clones."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cx.core.blueprint import DatabaseUse
from cx.core.errors import Invalid
from cx.core.kinds import POSTGRES, VOLUME
from cx.project.cx_toml import Database, Document
from cx.project.policy import Admitted
from cx.project.reading import FILE
from cx.project.routes import image_word
from cx.settings import Settings
from cx.settings.databases import Database as Configured

DEFAULT_ALIAS = "db"


@dataclass(frozen=True)
class Databases:
    """`uses` are the clones; `replaced` the services that they take the place of, by the name of the database."""

    uses: tuple[DatabaseUse, ...]
    replaced: Mapping[str, str]
    notes: tuple[str, ...]


def databases(
    admitted: Mapping[str, Admitted], document: Document, settings: Settings, volumes: Collection[str] = ()
) -> Databases:
    """The clones that a revision needs; `volumes` are those that its services mount.

    Raises Invalid when cx.toml and the host's configuration disagree.
    """
    for name, said in document.databases.items():
        if said.mode == "clone" and name not in settings.databases:
            there = ", ".join(settings.databases) or "none"
            raise Invalid(
                FILE,
                f"databases.{name}",
                f"is not in the host configuration ({settings.file or 'which has no file yet'}); it has: {there}",
                remedy=f'add [databases.{name}] there, or say mode = "container" here',
            )
    words = {word for given in settings.databases.values() for word in given.facts.words} | POSTGRES.words
    all_engines = [name for name, one in admitted.items() if image_word(one.model.get("image")) in words]
    kept = _kept(all_engines, admitted, document)
    replaced: dict[str, str] = {}
    notes: list[str] = []
    for facts in {given.facts.name: given.facts for given in settings.databases.values()}.values():
        engines = [
            name
            for name, one in admitted.items()
            if name not in kept and image_word(one.model.get("image")) in facts.words
        ]
        mine = {name: given for name, given in settings.databases.items() if given.facts.name == facts.name}
        replaced |= _replaced(engines, admitted, document, mine)
        left = [name for name in engines if name not in replaced.values()]
        if free := [name for name in mine if name not in replaced and name not in document.databases]:
            notes += [
                f"services.{name}: stays a container; [databases.{free[0]}] with service in {FILE} makes it a clone"
                for name in left
            ]
    uses = []
    aliases = set(admitted)
    for name, given in settings.databases.items():
        if given.facts is VOLUME:
            if given.mounted(name) in volumes:
                uses.append(DatabaseUse(name, given.mounted(name), engine=given.facts.name, way=given.way))
                notes.append(f"volumes.{given.mounted(name)}: is a clone of the host's {name}")
            continue
        named = name in document.databases and document.databases[name].mode == "clone"
        if name not in replaced and not named:
            continue
        said = document.databases.get(name, Database())
        service = replaced.get(name)
        if service:
            uses.append(_use(name, service, said, admitted[service].model, given))
            notes.append(f"services.{service}: is a clone of the host's database {name}")
        else:
            usual = given.facts.alias
            alias = said.service or (usual if usual not in aliases else name)
            if alias in aliases:
                raise Invalid(FILE, f"databases.{name}.service", f"{alias} is the name of another service")
            aliases.add(alias)
            uses.append(_use(name, alias, said, None, given))
    return Databases(tuple(uses), replaced, tuple(notes))


def port_of(name: str, settings: Settings) -> int:
    """The usual port of the engine of database `name`."""
    given = settings.databases.get(name)
    return given.facts.port if given else POSTGRES.port


def variables(document: Document, settings: Settings, uses: tuple[DatabaseUse, ...]) -> dict[str, str]:
    """Variable -> `database.kind`. With several databases the plain names are the first one's of its engine."""
    found: dict[str, str] = {}
    ordered = sorted(uses, key=lambda use: [*document.databases, use.name].index(use.name))
    seen: set[str] = set()
    for use in ordered:
        said = document.databases.get(use.name, Database()).env
        given = settings.databases[use.name]
        env = said if said is not None else given.variables
        first = given.facts.name not in seen
        seen.add(given.facts.name)
        for variable, kind in env.items():
            plain = said is not None or (first and variable not in found)
            name = variable if plain else f"{use.name.upper()}_{variable}"
            if found.setdefault(name, f"{use.name}.{kind}") != f"{use.name}.{kind}":
                raise Invalid(FILE, f"databases.{use.name}.env.{name}", "is given by another database already")
    return found


def _kept(engines: list[str], admitted: Mapping[str, Admitted], document: Document) -> set[str]:
    """The services that stay containers, for cx.toml says so."""
    kept = set()
    for name, said in document.databases.items():
        if said.mode != "container":
            continue
        service = said.service or (name if name in admitted else "") or (engines[0] if len(engines) == 1 else "")
        if service not in admitted:
            raise Invalid(FILE, f"databases.{name}.service", "does not name a service that could stay a container")
        kept.add(service)
    return kept


def _replaced(
    engines: list[str], admitted: Mapping[str, Admitted], document: Document, given: Mapping[str, Configured]
) -> dict[str, str]:
    """`engines` are the services that run one engine, `given` the host's databases of that engine."""
    replaced: dict[str, str] = {}
    for name, said in document.databases.items():
        if name not in given:
            continue
        if said.mode != "clone" or not said.service or said.service not in admitted:
            continue
        if said.service not in engines and not admitted[said.service].build:  # of a build nobody knows what it runs
            image = admitted[said.service].model.get("image")
            raise Invalid(FILE, f"databases.{name}.service", f"{said.service} runs {image}, not {name}'s engine")
        if said.service in replaced.values():
            raise Invalid(FILE, f"databases.{name}.service", f"{said.service} is another database's already")
        replaced[name] = said.service
    by_name = [name for name in given if name in engines]
    for name in by_name:
        if name not in replaced and name not in replaced.values() and not _elsewhere(document, name):
            replaced[name] = name
    left = [one for one in engines if one not in replaced.values()]
    asking = [
        name
        for name, said in document.databases.items()
        if name in given and said.mode == "clone" and not said.service and name not in replaced
    ]
    if len(left) == 1 and len(asking) == 1:
        replaced[asking[0]] = left[0]
    elif len(left) == 1 and len(engines) == 1 and len(given) == 1:
        name = next(iter(given))
        if name not in replaced and not _elsewhere(document, name):
            replaced[name] = left[0]
    return replaced


def _elsewhere(document: Document, name: str) -> bool:
    """True when cx.toml says of the database that it is something else."""
    said = document.databases.get(name)
    return said is not None and (said.mode == "container" or said.service is not None)


def _use(name: str, alias: str, said: Database, service: Mapping[str, Any] | None, given: Configured) -> DatabaseUse:
    """`service` is the one that it replaces, which tells what its clients expect; None: nobody's."""
    facts = given.facts
    environment = (service or {}).get("environment") or {}
    usual = "app" if service is None else facts.user
    user = said.user or _first(environment, facts.user_env)
    database = said.database or _first(environment, facts.database_env)
    password = said.password or _first(environment, facts.password_env)
    if user is None or user in facts.env_of_root.values():
        for variable, root in facts.env_of_root.items():
            if environment.get(variable):
                user, password = root, said.password or environment[variable]
                break
    if facts.open_without_password and service is not None and password is None:
        password = _required(service)  # such a service asks for none
    return DatabaseUse(
        name=name,
        alias=alias,
        port=said.port or facts.port,
        user=user or usual,
        database=database or given.database or (user if facts is POSTGRES else None) or usual,
        password=password if facts.open_without_password and service is not None else password or None,
        engine=facts.name,
        way=given.way,
    )


def _required(service: Mapping[str, Any]) -> str:
    """The password of `--requirepass` in a service's command; "" when it has none."""
    command = service.get("command") or []
    words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    words = [inner for word in words for inner in (word.split() if " " in word else [word])]
    for option, value in pairwise(words):
        if option == "--requirepass":
            return value
    return ""


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)
