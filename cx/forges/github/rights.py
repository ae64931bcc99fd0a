"""What a token or a GitHub App may do, as far as GitHub tells before it is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cx.core.errors import CxError
from cx.forges.github.connection import Connection
from cx.settings.github import GitHub

CLASSIC = ("repo", "public_repo")  # scopes that hold all that cx does, of a token of the old kind


def missing(settings: GitHub, environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """For each repository its name, what cx may not do there ("": nothing is known to be missing), and the remedy."""
    connection = Connection.of(settings, environ)
    for repository in settings.rules:
        try:
            lacks = _app(connection, repository, settings) if settings.app_id else _token(connection, repository)
        except CxError as exc:
            yield repository, exc.what, exc.remedy
        else:
            yield repository, *lacks


def _app(connection: Connection, repository: str, settings: GitHub) -> tuple[str, str]:
    connection.about(repository)
    given = connection.permissions(repository) or {}
    wanted = {"contents": "read", "pull_requests": "write", "issues": "write"}
    wanted |= {"deployments": "write"} if settings.deployments else {}
    wanted |= {"statuses": "write"} if settings.status else {}
    lacks = [f"{name}: {level}" for name, level in wanted.items() if given.get(name) not in (level, "write")]
    if not lacks:
        return "", ""
    return f"the App lacks {', '.join(lacks)}", "give it these permissions, and accept them where it is installed"


def _token(connection: Connection, repository: str) -> tuple[str, str]:
    asked = connection.about(repository)
    answer = asked.document
    permissions = answer.get("permissions") or {}
    scopes = asked.headers.get("x-oauth-scopes")  # only tokens of the old kind have it
    if scopes is not None and not {*CLASSIC} & {one.strip() for one in scopes.split(",")}:
        return f"the token has the scopes {scopes or 'none'}", "give it the scope repo; see docs/github.md"
    if scopes is not None and answer.get("private") and "repo" not in [one.strip() for one in scopes.split(",")]:
        return "the token may not see private repositories", "give it the scope repo; see docs/github.md"
    if not permissions.get("push"):
        return "the token's owner may not write", "let its owner write to the repository, or use another token"
    return "", ""
