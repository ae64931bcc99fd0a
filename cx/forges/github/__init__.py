"""GitHub: what is read of a pull request, and what is told about it.

answers     one request and its answer, errors as ours
logins      who asks: a token, or an App
connection  one way of asking: limits obeyed, every page or an error, repositories by their number
refusals    what was not allowed when it was last asked
forge       pull requests, permissions, where to fetch from
comment     the one comment's text
rights      what it may do there, as far as GitHub tells before it is tried
announcer   comment, deployment and commit status made to show a report
"""

from __future__ import annotations

from collections.abc import Mapping

from cx.forges.github.announcer import GitHubAnnouncer
from cx.forges.github.connection import Connection
from cx.forges.github.forge import GitHubForge
from cx.pulls import Repositories
from cx.pulls.budget import Budget
from cx.settings.github import GitHub

__all__ = ["GitHubAnnouncer", "GitHubForge", "open_github"]


def open_github(
    settings: GitHub,
    environ: Mapping[str, str],
    budget: Budget | None = None,
    repositories: Repositories | None = None,
) -> tuple[GitHubForge, GitHubAnnouncer]:
    """Both over one connection. Nothing is asked of GitHub yet. Raises Invalid when there is nothing to log in with."""
    connection = Connection.of(settings, environ, budget, repositories)
    return GitHubForge(connection, settings.base_url), GitHubAnnouncer(connection, settings)
