"""Reading projects: where their files come from, what they may have of this host, and what they consist of."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from cx.core.blueprint import Blueprint
from cx.core.errors import Invalid
from cx.core.names import Namespace
from cx.core.origin import Origin, OriginKind
from cx.core.ports import Checkout
from cx.core.source import Source
from cx.core.state import Desired
from cx.host.assembly import Adapters
from cx.settings import Settings, settings_document
from cx.settings.showing import settings_digest

WAIT_S = 600  # for somebody else's pass over the same namespace, or another reader


class Reads(Protocol):
    """Who reads one project in this process's stead."""

    def read_source(self, path: Path, ref: str = "") -> Source: ...
    def read_blueprint(self, wish: Desired) -> Blueprint: ...
    def close(self) -> None: ...


@dataclass
class Projects(Adapters):
    """Projects as one host reads them; `reader` does it instead, where there is one."""

    reader: Reads | None = None
    _blueprints: dict[tuple[Namespace, str], Blueprint] = field(default_factory=dict, init=False, repr=False)

    def read_source(self, path: Path, ref: str = "") -> Source:
        """The folder as a version in cx's mirror, one reader of a project at a time."""
        if self.reader:
            return self.reader.read_source(path, ref)
        from cx.git import project_of

        with self.mirror_lock(project_of(path.resolve()), "read a folder", wait_s=WAIT_S):
            return self.sources.read(path, ref)

    def mirror_lock(self, project: str, why: str, *, wait_s: float) -> AbstractContextManager[None]:
        """One at a time adds to the project's mirror; whoever cleans it up gives way. Raises Busy."""

        def waiting(holder: str) -> None:
            from cx.git.incoming import want

            want(self.sources.path(project))

        return self.lock(f"project-{project}", why, wait_s=wait_s, waiting=waiting)

    def read_blueprint(self, wish: Desired) -> Blueprint:
        """The blueprint of what is wanted, or may be. Nothing is changed by it. Raises Invalid or Refused."""
        if self.reader:
            return self.reader.read_blueprint(wish)
        with (
            self.lock(f"reading-{wish.namespace}", "read its project", wait_s=WAIT_S),
            self.sources.checkout(wish.namespace, wish.project, wish.tree, aside="reading") as checkout,
        ):
            return self._read(wish, lambda: checkout)

    def _read(self, wish: Desired, checkout: Checkout) -> Blueprint:
        """The blueprint of a namespace's revision, which makes it what it is: it is read once."""
        key = (wish.namespace, wish.revision)
        if key in self._blueprints:
            return self._blueprints[key]
        from cx.project.blueprint import read_blueprint

        given = self._settings_for(wish.origin)
        try:
            self._blueprints[key] = read_blueprint(
                checkout(),
                project=self._granted(wish.origin),
                namespace=wish.namespace,
                environment=wish.environment,
                values=wish.values,
                settings=given,
                tree_digest=lambda path: self.sources.digest(wish.project, wish.tree, path),
                cache_scope=wish.cache_scope,
            )
        except Invalid as exc:
            name = exc.key.removeprefix("databases.")
            if name in self.settings.databases and name not in given.databases:
                problem = "is not for forks: this host gives them no data"
                remedy = "the host's owner decides, with fork_data"
                if given.databases or self._gets_data(wish.origin):
                    problem = "is not for this project"
                    remedy = f"the host's owner decides, with databases.{name}.projects"
                raise Invalid(exc.where, exc.key, problem, remedy=remedy) from exc
            raise
        return self._blueprints[key]

    def settings_digest(self, origin: Origin) -> str:
        """Changes when what comes from `origin` would run otherwise under the settings as they are now."""
        given, project = self._settings_for(origin), self._granted(origin)
        return settings_digest(given, project=project, repository=origin.repository)

    def settings_basis(self) -> str:
        """Changes with any setting: what has failed may go well now."""
        document = {key: one["value"] for key, one in settings_document(self.settings).items()}
        return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def _granted(self, origin: Origin) -> str:
        """The name under [projects] of what is deployed from a folder or a repository; "" when it has none.

        By the whole path: another folder of the same name is granted nothing. A fork of a repository is not it.
        """
        for name, given in self.settings.projects.items():
            if given.path and Origin.folder(given.path.resolve()) == origin:
                return name
            if given.repository and Origin.pulls_of(given.repository) == origin:
                return name
        return ""

    def _settings_for(self, origin: Origin) -> Settings:
        """The settings that hold for what comes from `origin`: the databases are those that it may have clones of."""
        project = self._granted(Origin.pulls_of(origin.repository) if origin.repository else origin)
        found = {
            name: given
            for name, given in self.settings.databases.items()
            if self._gets_data(origin) and (not given.projects or project in given.projects)
        }
        return msgspec.structs.replace(self.settings, databases=found)

    def _gets_data(self, origin: Origin) -> bool:
        """A fork gets none, unless the owner says so."""
        rules = self.settings.github.rules.get(origin.repository)
        return origin.kind is not OriginKind.FORK or bool(rules and rules.fork_data)
