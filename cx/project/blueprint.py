"""From a checkout to its blueprint: read, render, normalise, lay cx.toml over it, admit, and copy."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cx.core.blueprint import Blueprint, Build, DatabaseUse, Mounted, Release, Route, jobs_of
from cx.core.errors import Invalid, Refused
from cx.core.names import Namespace, shown
from cx.project import databases as clones
from cx.project.checkout import read_inside
from cx.project.choosing import chosen
from cx.project.choosing import notes as left_out
from cx.project.compose import normalise, read_dotenv
from cx.project.cx_toml import Document, Service, check_text, check_variable, words
from cx.project.overlay import laid_over, template_services
from cx.project.policy import Admitted, BuildInput, Caps, Grants, Look, admit, screen
from cx.project.reading import FILE, Project, check_environment, compose_folder, read_project, release_of, variables
from cx.project.routes import NOT_WEB_IMAGES, image_word, routes
from cx.project.template import render_own, render_theirs
from cx.project.yaml import read_yaml
from cx.settings import Settings


def read_blueprint(
    checkout: Path,
    *,
    project: str,
    namespace: Namespace,
    environment: str,
    values: Mapping[str, str],
    settings: Settings,
    tree_digest: Callable[[str], str],
    cache_scope: str,
) -> Blueprint:
    """What the revision in `checkout` consists of. Reads the checkout and nothing else; runs no code of it.

    `values` are those of `--set`; `tree_digest` gives a digest of the content of a folder, by its path from the
    checkout; `cache_scope` is as in Desired. Raises Invalid (which file, which key), Refused (everything that the
    policy found), Retryable.
    """
    check_values(values)
    read = read_project(checkout)
    document = read.document
    check_environment(document, environment)
    theirs = _compose_text(read, project, namespace, environment, values, settings)
    where = f"{read.file} (as rendered)" if read.kind == "template" else read.file
    raw = read_yaml(theirs, where)
    granted = settings.projects.get(project)
    grants = Grants.of(granted.allow if granted else ())
    limits = settings.limits
    caps = Caps(limits.memory, limits.cpus, limits.pids, limits.replicas, limits.services)
    base = compose_folder(checkout, read)
    look = Look(checkout, settings.instance, grants, grants.raised(caps), base)
    own = variables(document, environment, values)
    raw, gone = chosen(raw, document, read_dotenv(checkout, base).decode("utf-8-sig", errors="replace"), own)
    screen(raw, look, where)
    model, unset = normalise(raw, checkout=checkout, where=where, variables=own, base=base)
    model["services"] = _in_order(model.get("services"), raw.get("services"))
    if read.kind != "services":
        model = laid_over(model, document, environment, values, where, gone)
    try:
        admission = admit(model, look, where)
    except Refused as exc:
        if unset and any(".image: " in one or one.endswith("is empty") for one in exc.reasons):
            raise Refused(where, [*exc.reasons, f"not set, and so empty: {', '.join(map(shown, unset))}"]) from exc
        raise
    if not admission.services:
        remedy = f"choose a profile with COMPOSE_PROFILES in [environment] of {FILE}" if gone else ""
        raise Invalid(where, "services", "has none that would run", remedy=remedy)
    notes = [f"{where}: the variable {shown(name)} is not set: it is taken as empty" for name in unset]
    notes = [*read.notes, *left_out(gone), *notes]
    return _Assembly(checkout, document, namespace, environment, settings, tree_digest, cache_scope).blueprint(
        dict(admission.services), [*notes, *admission.notes], read.kind, where
    )


def check_values(values: Mapping[str, str]) -> None:
    """Raises Invalid for a `--set` that cannot be a variable."""
    for name, value in values.items():
        try:
            check_variable(name)
            check_text(value)
        except ValueError as exc:
            raise Invalid("--set", shown(name), str(exc), remedy="for example --set DEBUG=1") from exc


class _Assembly:
    """Puts a blueprint together from what was admitted."""

    def __init__(
        self,
        checkout: Path,
        document: Document,
        namespace: Namespace,
        environment: str,
        settings: Settings,
        tree_digest: Callable[[str], str],
        cache_scope: str,
    ) -> None:
        self.checkout = checkout
        self.document = document
        self.namespace = namespace
        self.environment = environment
        self.settings = settings
        self.tree_digest = tree_digest
        self.cache_scope = cache_scope

    def blueprint(self, admitted: dict[str, Admitted], notes: list[str], kind: str, where: str) -> Blueprint:
        found = clones.databases(
            admitted,
            self.document,
            self.settings,
            _mounts({name: one.model for name, one in admitted.items()}, "source"),
        )
        gone = set(found.replaced.values())
        waiting = {name for name, one in admitted.items() if gone & set(one.model.get("depends_on") or ())}
        aliases = {name: one.aliases for name, one in admitted.items() if one.aliases}
        kept = {name: one for name, one in admitted.items() if name not in gone}
        if not kept:
            raise Invalid(
                where,
                "services",
                "has databases only, which become clones: nothing would run",
                remedy=f"add what uses them to {FILE}, such as [services.app] with build and port",
            )
        for one in kept.values():
            _forget(one.model, gone)
        roads = routes(kept, self.document, self.namespace, self.settings, self.checkout)
        if not roads:
            add = "" if any(one.build for one in kept.values()) else ", or add that one there with its build"
            notes.append(
                f"no service has a hostname: set services.<name>.port in {FILE} for the one that serves HTTP{add}"
            )
        self._tell(kept, roads)
        names = clones.variables(self.document, self.settings, found.uses)
        models = {name: one.model for name, one in kept.items()}
        jobs = jobs_of(models)
        pinned = {name for name in kept if self._is_pinned(name, kept[name], roads, jobs)}
        told = [note for note in notes if not any(note.startswith(f"services.{name}.") for name in gone)]
        return Blueprint(
            services={name: model for name, model in models.items() if name not in pinned},
            pinned={name: model for name, model in models.items() if name in pinned},
            routes=roads,
            builds=tuple(self._build(name, one.build) for name, one in kept.items() if one.build),
            databases=found.uses,
            database_env=self._database_env(kept, found.uses, names, waiting, kind),
            aliases=aliases,
            volumes=_mounts(models, "source"),
            mounted=tuple(map(self._mounted, _mounts(models, "subpath"))),
            release=self._release(kept),
            start_timeout_s=float(self.settings.limits.start_timeout_s),
            stay_up_s=float(self.settings.limits.stay_up_s),
            notes=(*found.notes, *told),
        )

    def _is_pinned(self, name: str, one: Admitted, roads: tuple[Route, ...], jobs: set[str]) -> bool:
        """What keeps state and is nobody's code: two of it on one volume, or a restart for each commit, would harm.

        A job is to run once for each revision, whatever it mounts.
        """
        said = self.document.services.get(name, Service()).update
        if said is not None:
            return said == "in-place"
        keeps = any(mount.get("type") == "volume" and mount.get("source") for mount in one.model.get("volumes") or ())
        return keeps and not one.build and name not in jobs and all(route.service != name for route in roads)

    def _tell(self, kept: Mapping[str, Admitted], roads: tuple[Route, ...]) -> None:
        """The services that are the project's own learn where they are, unless they say so themselves."""
        hosts = {route.service: route.host for route in roads}
        told = {"CX_NAMESPACE": self.namespace.name, "CX_ENVIRONMENT": self.environment}
        for name, host in hosts.items():
            told[f"CX_URL_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"] = self.settings.base_url(host)
        for name, one in kept.items():
            if not one.build and name not in hosts:
                continue
            host = hosts.get(name) or next(iter(hosts.values()), "")
            own = {"CX_HOST": host, "CX_URL": self.settings.base_url(host)} if host else {}
            one.model["environment"] = {**told, **own, **(one.model.get("environment") or {})}

    def _database_env(
        self,
        kept: Mapping[str, Admitted],
        uses: tuple[DatabaseUse, ...],
        names: Mapping[str, str],
        waiting: set[str],
        kind: str,
    ) -> dict[str, dict[str, str]]:
        """For what is built and for those that waited for the database; without a Compose file, for all that are no
        database or cache themselves."""
        found = {}
        for name, one in kept.items():
            asks = kind == "services" and image_word(one.model.get("image")) not in NOT_WEB_IMAGES
            if uses and (asks or name in waiting or one.build):
                own = one.model.get("environment") or {}
                found[name] = {variable: what for variable, what in names.items() if variable not in own}
        return {name: env for name, env in found.items() if env}

    def _mounted(self, path: str) -> Mounted:
        if (self.checkout / path).is_file():
            return Mounted(path, file=True)
        return Mounted(path, digest=self.tree_digest(path))

    def _build(self, name: str, wanted: BuildInput) -> Build:
        dockerfile = read_inside(self.checkout, wanted.dockerfile, size_max=256 * 1024)
        facts = [
            self.cache_scope,
            wanted.fetches,
            self.tree_digest(wanted.context),
            wanted.dockerfile,
            hashlib.sha256(dockerfile).hexdigest(),
            wanted.target,
            sorted(wanted.args.items()),
        ]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        return Build(name, wanted.context, wanted.dockerfile, wanted.target, dict(wanted.args), digest, wanted.fetches)

    def _release(self, kept: Mapping[str, Admitted]) -> Release | None:
        said = release_of(self.document, self.environment)
        if said is None:
            return None
        built = [name for name, one in kept.items() if one.build]
        service = said.service or ("app" if "app" in kept else next(iter([*built, *kept]), ""))
        if service not in kept:
            known = ", ".join(kept)
            raise Invalid(FILE, "release.service", f"{shown(service)} is not a service that runs; there are: {known}")
        return Release(service, tuple(words(said.command)), float(said.timeout_s))


def _compose_text(
    read: Project,
    project: str,
    namespace: Namespace,
    environment: str,
    values: Mapping[str, str],
    settings: Settings,
) -> str:
    if read.kind == "compose":
        return read.text
    document = read.document
    services = template_services(document, environment, values)
    for name, service in services.items():
        host = settings.host(namespace, name)
        service |= {"host": host, "url": settings.base_url(host)}
    seen = {
        "project": project,
        "namespace": namespace.name,
        "environment": environment,
        "services": services,
        "databases": {
            name: {
                "host": said.service or clones.DEFAULT_ALIAS,
                "port": said.port or clones.port_of(name, settings),
                "database": said.database or said.user or "app",
                "user": said.user or "app",
            }
            for name, said in document.databases.items()
        },
        "values": variables(document, environment, values),
    }
    return render_own(seen) if read.kind == "services" else render_theirs(read.text, seen, read.file)


def _in_order(services: Any, raw: Any) -> Any:
    """Compose sorts services by name; the project's own order says what comes first."""
    if not isinstance(services, dict) or not isinstance(raw, dict):
        return services
    return {name: services[name] for name in [*(name for name in raw if name in services), *services]}


def _forget(model: dict[str, Any], gone: set[str]) -> None:
    """Nobody waits for a service that became a clone: its pooler is there first."""
    needs = {name: need for name, need in (model.get("depends_on") or {}).items() if name not in gone}
    model.pop("depends_on", None)
    if needs:
        model["depends_on"] = needs


def _mounts(models: Mapping[str, Mapping[str, Any]], what: str) -> tuple[str, ...]:
    """The named volumes (`source`), or the paths of the checkout (`subpath`), that are mounted by anyone."""
    found: dict[str, None] = {}
    for model in models.values():
        for mount in model.get("volumes") or ():
            if mount.get("type") != "volume":
                continue
            source, subpath = mount.get("source"), (mount.get("volume") or {}).get("subpath")
            if what == "source" and source:
                found[source] = None
            elif what == "subpath" and subpath and not source:
                found[subpath] = None
    return tuple(sorted(found))
