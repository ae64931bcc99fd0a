"""Which of a project's services are a database of the host: those become clones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cx.errors import Invalid
from cx.model.blueprint import DatabaseUse
from cx.policy import Admitted
from cx.project.document import Database, Document
from cx.project.reading import FILE
from cx.render.routes import image_word
from cx.settings import Settings

POSTGRES_IMAGES = frozenset(
    {
        *("postgres", "postgresql", "postgresql-repmgr", "postgis", "pgvector", "pgvecto-rs", "citus", "paradedb"),
        *("timescaledb", "timescaledb-ha", "timescaledb-postgis", "spilo", "alloydbomni"),
    }
)
DEFAULT_ALIAS = "db"
# What each maker's image reads its first database from; the first that is set counts.
_DATABASE = ("POSTGRES_DB", "POSTGRESQL_DATABASE")
_USER = ("POSTGRES_USER", "POSTGRESQL_USERNAME", "POSTGRESQL_USER")
_PASSWORD = ("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "POSTGRESQL_POSTGRES_PASSWORD")


@dataclass(frozen=True)
class Databases:
    """`uses` are the clones; `replaced` the services that they take the place of, by the name of the database."""

    uses: tuple[DatabaseUse, ...]
    replaced: Mapping[str, str]
    notes: tuple[str, ...]


def databases(admitted: Mapping[str, Admitted], document: Document, settings: Settings) -> Databases:
    """The clones that a revision needs. Raises Invalid when cx.toml and the host's configuration disagree."""
    for name, said in document.databases.items():
        if said.mode == "clone" and name not in settings.databases:
            there = ", ".join(settings.databases) or "none"
            raise Invalid(
                FILE,
                f"databases.{name}",
                f"is not in the host configuration ({settings.file or 'which has no file yet'}); it has: {there}",
                remedy=f'add [databases.{name}] there, or say mode = "container" here',
            )
    engines = [name for name, one in admitted.items() if image_word(one.model.get("image")) in POSTGRES_IMAGES]
    kept = _kept(engines, admitted, document)
    engines = [name for name in engines if name not in kept]
    replaced = _replaced(engines, admitted, document, settings)
    uses, notes = [], []
    aliases = set(admitted)
    for name in settings.databases:
        named = name in document.databases and document.databases[name].mode == "clone"
        if name not in replaced and not named:
            continue
        said = document.databases.get(name, Database())
        service = replaced.get(name)
        if service:
            uses.append(_use(name, service, said, admitted[service].model.get("environment") or {}))
            notes.append(f"services.{service}: is a clone of the host's database {name}")
        else:
            alias = said.service or (DEFAULT_ALIAS if DEFAULT_ALIAS not in aliases else name)
            if alias in aliases:
                raise Invalid(FILE, f"databases.{name}.service", f"{alias} is the name of another service")
            aliases.add(alias)
            uses.append(_use(name, alias, said, None))
    return Databases(tuple(uses), replaced, tuple(notes))


def variables(document: Document, settings: Settings, uses: tuple[DatabaseUse, ...]) -> dict[str, str]:
    """Variable -> `database.kind`. With several databases the plain names are the first one's."""
    found: dict[str, str] = {}
    ordered = sorted(uses, key=lambda use: [*document.databases, use.name].index(use.name))
    for number, use in enumerate(ordered):
        said = document.databases.get(use.name, Database()).env
        env = said if said is not None else settings.databases[use.name].env
        for variable, kind in env.items():
            name = variable if number == 0 or said is not None else f"{use.name.upper()}_{variable}"
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
    engines: list[str], admitted: Mapping[str, Admitted], document: Document, settings: Settings
) -> dict[str, str]:
    replaced: dict[str, str] = {}
    for name, said in document.databases.items():
        if said.mode != "clone" or not said.service or said.service not in admitted:
            continue
        if said.service not in engines:
            image = admitted[said.service].model.get("image") or "an image of its own"
            raise Invalid(FILE, f"databases.{name}.service", f"{said.service} runs {image}, not {name}'s engine")
        if said.service in replaced.values():
            raise Invalid(FILE, f"databases.{name}.service", f"{said.service} is another database's already")
        replaced[name] = said.service
    by_name = [name for name in settings.databases if name in engines]
    for name in by_name:
        if name not in replaced and name not in replaced.values() and not _elsewhere(document, name):
            replaced[name] = name
    left = [one for one in engines if one not in replaced.values()]
    asking = [
        name
        for name, said in document.databases.items()
        if said.mode == "clone" and not said.service and name not in replaced
    ]
    if len(left) == 1 and len(asking) == 1:
        replaced[asking[0]] = left[0]
    elif len(left) == 1 and len(engines) == 1 and len(settings.databases) == 1:
        name = next(iter(settings.databases))
        if name not in replaced and not _elsewhere(document, name):
            replaced[name] = left[0]
    return replaced


def _elsewhere(document: Document, name: str) -> bool:
    """True when cx.toml says of the database that it is something else."""
    said = document.databases.get(name)
    return said is not None and (said.mode == "container" or said.service is not None)


def _use(name: str, alias: str, said: Database, environment: Mapping[str, str] | None) -> DatabaseUse:
    """`environment` is that of the service that it replaces, which tells what its clients expect; None: nobody's."""
    usual = "app" if environment is None else "postgres"
    environment = environment or {}
    user = said.user or _first(environment, _USER)
    database = said.database or _first(environment, _DATABASE)
    return DatabaseUse(
        name=name,
        alias=alias,
        port=said.port,
        user=user or usual,
        database=database or user or usual,
        password=said.password or _first(environment, _PASSWORD) or None,
    )


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)
