"""One commit of a pull request comes into cx's mirror: that commit, or none, with the submodules and large files that
the host's owner allows. What it holds is hostile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cx.core.errors import Terminal
from cx.core.names import shown
from cx.git.incoming import change, changing, incoming, refs_of, using
from cx.git.running import Absent, Limits, NotLetIn, Remote, Runner, never, project_of
from cx.git.sources import SHA, Sources
from cx.git.whole import Whole, fetched
from cx.pulls import Moved

__all__ = ["Fetching", "Limits", "Remote", "project_of"]

ABSENT = "push again, or see that github.repositories.<name>.url mirrors pull requests; cx tries again"


@dataclass(frozen=True)
class Fetching:
    """`refused`: repositories that were not shown when they were asked last, and for which pull request."""

    sources: Sources
    limits: Limits
    refused: dict[str, int] = field(default_factory=dict, init=False)

    def fetch(
        self, remote: Remote, number: int, sha: str, cancelled: Callable[[], bool] = never, *, insist: bool = False
    ) -> str:
        """The pull request's commit `sha` is in the mirror; its tree, with submodules and large files in their places
        where they are allowed. Several may be fetched side by side.

        Raises Moved when the remote shows another head, before anything is fetched, unless `insist`; Cancelled;
        Retryable when the remote does not have the commit, or does not answer; Terminal when it is too big, not
        allowed, or not a sound repository.
        """
        if not SHA.fullmatch(sha):
            raise Terminal(f"{shown(sha)} is not a commit")
        what = f"{remote.repository}#{number}"
        with using(self.sources, remote.project, cancelled) as mirror, incoming(mirror, self.limits) as new:
            run = Runner(new.folder, what, self.limits, cancelled)
            said = self._asked(run, remote, number)
            if said and said[0] != sha and not insist:
                raise Moved(f"{what} is at {said[0][:12]}, not {sha[:12]}")
            try:  # by its name: a mirror may have no refs of pull requests, or show old ones
                plain = fetched(run, remote, sha, "refs/cx/pulls")
            except Absent as exc:
                shows = f"shows {said[0][:12]}" if said else f"has no refs/pull/{number}/head"
                raise Absent(
                    f"{what}: its commit {sha[:12]} cannot be fetched: the remote {shows}", remedy=ABSENT
                ) from exc
            whole = Whole(run, remote, mirror, number)
            tree = whole.of(remote, plain)
            new.settle(run, {f"refs/cx/pulls/{number}": sha} | whole.refs(plain, tree), number)
            return tree

    def _asked(self, run: Runner, remote: Remote, number: int) -> list[str]:
        try:
            said = run("ls-remote", "--quiet", remote.url, f"refs/pull/{number}/head", remote=remote).split()
        except NotLetIn:
            self.refused[remote.repository] = number
            raise
        self.refused.pop(remote.repository, None)
        return said

    def forget(self, remote: Remote, number: int) -> None:
        """Its commit, and what came with it, may go when git cleans up. It waits for nobody's fetch."""
        if self.refused.get(remote.repository) == number:
            self.refused.pop(remote.repository, None)
        mirror = self.sources.path(remote.project)
        if (mirror / "HEAD").is_file():
            run = Runner(mirror, f"{remote.repository}#{number}", self.limits, limited=False)
            with changing(mirror):
                mine = refs_of(run, mirror, lambda one: one == number)
                change(run, mirror, dict.fromkeys(mine, ""))
