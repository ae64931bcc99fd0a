"""What one Docker host has for nobody any more, and how it goes: for prune, and for whoever has a timer."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cx.core.errors import Busy, CxError
from cx.core.names import Namespace, natural
from cx.host.observing import Observing
from cx.host.projects import Projects

if TYPE_CHECKING:
    from cx.data.values import Golden
    from cx.git.upkeep import Tidied


@dataclass(frozen=True)
class Upkeep:
    host: Projects
    observing: Observing

    def tidy_mirrors(self, cancelled: Callable[[], bool] = lambda: False) -> list[Tidied]:
        """Mirrors are packed where it is time, have no refs of pull requests that are over, and those of repositories
        that are no longer configured are gone, unless a namespace is of them. What was done, by mirror.

        It takes as long as one fetch may, leaves out what is in use, and may be ended at any moment.
        """
        from cx.git.fetching import project_of
        from cx.git.upkeep import Tidied, remove, sweep_all, tidy
        from cx.store.pulls import PullsTable

        folder, until = self.host.sources.folder / "git", time.monotonic() + self.host.settings.github.fetch_timeout_s
        repositories = {project_of(name): name for name in self.host.settings.github.rules}
        found: list[Tidied] = []

        def tidied(mirror: Path) -> Tidied | None:
            project = mirror.name.removesuffix(".git")
            followed = repositories.get(project)
            if project.startswith("gh-") and not followed and remove(mirror, lambda: self._is_used(project)):
                return Tidied(mirror.name, removed=True)

            def known() -> set[int]:
                return {one.pull.number for one in PullsTable(self.host.database).all_known(followed or "")}

            with self.host.lock(f"project-{project}", "clean up", wait_s=0):
                return tidy(mirror, known if followed else None, until=until, cancelled=cancelled)

        with suppress(Busy), self.host.lock("mirrors", "clean up mirrors", wait_s=0):
            sweep_all(folder)
            for mirror in sorted(folder.glob("*.git")):
                if cancelled() or time.monotonic() > until:
                    break
                with suppress(Busy):
                    done = tidied(mirror)
                    if done and (done.removed or done.refs or done.packed or done.why not in ("", "in use")):
                        found.append(done)
        return found

    def _is_used(self, project: str) -> bool:
        return any(wish.project == project for wish in self.host.store.all_desired())

    def expired(self, now: float) -> list[Namespace]:
        """Those that are wanted, and whose end has come: for prune, and for whoever has a timer."""
        wishes = [one for one in self.host.store.all_desired() if one.present]
        return [one.namespace for one in wishes if one.expires_at is not None and one.expires_at <= now]

    def unfollowed(self) -> list[Namespace]:
        """Those wanted for pull requests of repositories that the host configuration does not name (any more).

        Nobody watches those pull requests. They stay until somebody says so: a slip in a file deletes nothing.
        """
        found = []
        for wish in self.host.store.all_desired():
            repository = wish.origin.repository
            if wish.present and repository and repository not in self.host.settings.github.rules:
                found.append(wish.namespace)
        return found

    def orphans(self) -> tuple[dict[str, list[str]], CxError | None]:
        """What is there of namespaces that nobody wants (any more), in words; and why there may be more."""
        wanted = {wish.namespace.name for wish in self.host.store.all_desired() if wish.present}
        seen, silent = self.observing.reachable()
        unfinished = {wish.namespace.name for wish in self.host.store.all_desired()} - wanted
        left = {name: one.leftovers() for name, one in seen.items() if name not in wanted}
        return {name: left.get(name, ["its row"]) for name in sorted({*left, *unfinished}, key=natural)}, silent

    def stray_databases(self) -> dict[str, str]:
        """What is on the database server for nobody, and why: of dead refreshes, unwanted spares, goldens of sources
        that are no longer configured and that no clone is of."""
        if self.host.stack.is_lost():  # they went with the server's volume
            return {}
        left = {name: f"half-made golden of {source}" for source, name in self.host.goldens.leftovers()}
        left |= dict.fromkeys(self.host.spares.leftovers(self.host.terms), "spare that nobody will take")
        return left | {one.database: f"golden of {one.source}, which is not configured" for one in self._unused()}

    def remove_stray_databases(self) -> None:
        """None of them is there any more. Raises ServerBusy where a refresh has begun meanwhile."""
        from cx.data.values import Terms

        for source in sorted({source for source, _ in self.host.goldens.leftovers()}):
            self.host.goldens.tidy(source)
        for golden in self._unused():
            self.host.goldens.drop(golden.source)
        for source in sorted(self.host.spares.sources()):
            self.host.spares.refill(source, self.host.terms.get(source, Terms()), make=False)

    def _unused(self) -> list[Golden]:
        used = {one.source for one in self.host.clones.observe_all()}
        return [one for one in self.host.goldens.list() if one.source not in {*self.host.settings.databases, *used}]

    def litter(self) -> list[Path]:
        """Mirrors of projects that no namespace is of, and checkouts of none."""
        wishes = self.host.store.all_desired()
        projects = {f"{wish.project}.git" for wish in wishes}
        names = {wish.namespace.name for wish in wishes}
        mirrors = [one for one in (self.host.state_dir / "git").glob("*.git") if one.name not in projects]
        return mirrors + [one for one in (self.host.state_dir / "checkouts").glob("*") if one.name not in names]

    def remove_litter(self, path: Path) -> bool:
        """One of `litter` is gone; False: somebody uses it by now."""
        from cx.git.upkeep import remove

        project = path.name.removesuffix(".git")
        try:
            if path.suffix != ".git":
                with self.host.lock(f"reading-{path.stem}", "remove a checkout", wait_s=0):
                    shutil.rmtree(path, ignore_errors=True)
                return True
            with self.host.lock(f"project-{project}", "remove a mirror", wait_s=0):
                return remove(path, lambda: self._is_used(project))
        except Busy:
            return False
