"""What GitHub shows: of a report one comment and a deployment with its status; of a commit one status.

Level-triggered: what GitHub shows is read where it is not known, and only a difference is written. What was seen is
remembered for this process alone; after an error it is read again.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from cx import logs
from cx.core.errors import CxError, Invalid, NotFound, Terminal
from cx.forges.github import comment
from cx.forges.github.answers import Declined, Forbidden
from cx.forges.github.connection import Connection
from cx.forges.github.templates import Templates
from cx.pulls import Gauge
from cx.pulls.budget import Early, Urgency
from cx.pulls.marker import marked
from cx.pulls.statuses import State, Status, of_report
from cx.pulls.values import Phase, PullId, Report
from cx.settings.github import GitHub

CONTEXT = "cx/preview"
DEPLOYMENT_STATES = {
    Phase.BUILDING: "in_progress",
    Phase.CLONING: "in_progress",
    Phase.STARTING: "in_progress",
    Phase.READY: "success",
    Phase.SLEEPING: "success",
    Phase.FAILED: "failure",
}
SEEN_MAX = 2000  # pull requests that are remembered


@dataclass
class _Seen:
    """What GitHub showed of a pull request when it was looked at or written last; `urgency` of what is written now."""

    comment: int = 0
    digest: str = ""
    url: str = ""
    deployment: tuple[str, int] = ("", 0)  # commit, id
    state: tuple[str, ...] = ()
    inactive: set[int] = field(default_factory=set)  # deployments
    settled: tuple[str, ...] = ()  # since when all others are inactive
    removed: bool = False
    urgency: Urgency = Urgency.FINAL


@dataclass
class GitHubAnnouncer:
    connection: Connection
    settings: GitHub
    _seen: dict[PullId, _Seen] = field(default_factory=dict, init=False)
    _turns: dict[PullId, threading.Lock] = field(default_factory=dict, init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)
    _logins: dict[str, str] = field(default_factory=dict, init=False)
    _statuses: dict[tuple[str, str], Status] = field(default_factory=dict, init=False)  # of repository and commit

    def __post_init__(self) -> None:
        self._templates = Templates(self.connection, self.settings)

    def announce(self, report: Report, urgency: Urgency = Urgency.FINAL) -> None:
        with self._alone(report.pull) as seen:
            seen.urgency = urgency
            failed: list[CxError] = []
            for wanted, tell in (
                (self.settings.comment, self._comment),
                (self.settings.deployments, self._deployment),
            ):
                try:
                    if wanted:
                        tell(report, seen)
                except Early:  # what was written is known; the rest comes later
                    raise
                except Terminal as exc:  # trying again changes nothing: the preview is not held up by it
                    logs.warning("not shown on GitHub", pull=report.pull, why=exc)
                    self._forget(report.pull)
                except CxError as exc:
                    self._forget(report.pull)
                    failed.append(exc)
            if failed:
                raise max(failed, key=lambda exc: getattr(exc, "retry_after_s", None) or 0.0)

    def wait_s(self, urgency: Urgency) -> float:
        return self.connection.budget.wait_s(urgency)

    def gauges(self) -> Sequence[Gauge]:
        budget = self.connection.budget
        writes = "Writes that GitHub takes now, by the window."
        requests = "Requests that GitHub answers until it counts anew."
        found = [
            Gauge("cx_github_writes_left", writes, left, ("window", window)) for window, left in budget.left().items()
        ]
        left = budget.requests_left()
        return found if left is None else [*found, Gauge("cx_github_requests_left", requests, left)]

    def react(self, repository: str, comment: int, reaction: str) -> None:
        path = f"/issues/comments/{comment}/reactions"
        self.connection.write(Urgency.FINAL, "POST", repository, path, {"content": reaction})

    # --- the comment
    def _comment(self, report: Report, seen: _Seen) -> None:
        said, problem = self._said(report)
        digest = marked(said)[1]
        if seen.comment and seen.digest == digest:
            return
        if problem:
            logs.warning("comment template not used", pull=report.pull, why=problem)
        if not seen.comment:
            self._find(report, seen)
        if not seen.comment:
            self._post(report, seen, said)
        if seen.digest != digest:
            self._edit(report, seen, said)

    def _said(self, report: Report) -> tuple[str, str]:
        """The comment's text, and what is wrong with the template that it should have been written by."""
        try:
            return comment.body(report, self._templates.of(report.pull.repository)), ""
        except Invalid as exc:
            note = f"cx's own words: the template of this comment cannot be used: {exc.problem}"
            return comment.body(replace(report, notes=(*report.notes, note))), str(exc)

    def _post(self, report: Report, seen: _Seen, said: str) -> None:
        """There is one comment of ours; perhaps that of another process, which says something else."""
        path = f"/issues/{report.pull.number}/comments"
        answer = self.connection.write(seen.urgency, "POST", report.pull.repository, path, {"body": said})
        self._wrote(seen, answer, said)
        if not self._me(report.pull.repository):  # nobody else's answer tells it
            self._logins[report.pull.repository] = _login(answer)
        self._find(report, seen)

    def _edit(self, report: Report, seen: _Seen, said: str) -> None:
        path = f"/issues/comments/{seen.comment}"
        try:
            answer = self.connection.write(seen.urgency, "PATCH", report.pull.repository, path, {"body": said})
            self._wrote(seen, answer, said)
        except NotFound:  # somebody has deleted it
            self._post(report, seen, said)

    def _wrote(self, seen: _Seen, answer: Mapping[str, Any], said: str) -> None:
        seen.comment, seen.url = int(answer["id"]), str(answer.get("html_url", ""))
        seen.digest = marked(said)[1]

    def _find(self, report: Report, seen: _Seen) -> None:
        """The oldest of ours, of all pages. Another one, which two processes made at once, goes: whoever else posted
        sees the same two, and keeps the same one."""
        ours = self._ours(report)
        if not ours:
            return
        first, *others = ours
        seen.comment, seen.url = int(first["id"]), str(first.get("html_url", ""))
        seen.digest = marked(str(first["body"]))[1]
        for other in others:
            self._delete(report, seen, int(other["id"]))

    def _ours(self, report: Report) -> list[Mapping[str, Any]]:
        """Comments with our marker that we wrote: anyone can write a marker, and edit what he wrote. Where we do not
        know who we are, those of the bot that was first: others repeat what it said."""
        me = self._me(report.pull.repository)
        found = sorted(
            (
                one
                for one in self.connection.pages(report.pull.repository, f"/issues/{report.pull.number}/comments")
                if marked(str(one.get("body") or ""))[0] == report.namespace and _written_by(one, me)
            ),
            key=lambda one: int(one["id"]),
        )
        return [one for one in found if me or _login(one) == _login(found[0])]

    def _delete(self, report: Report, seen: _Seen, identity: int) -> None:
        try:
            self.connection.write(seen.urgency, "DELETE", report.pull.repository, f"/issues/comments/{identity}")
        except (Forbidden, NotFound) as exc:
            logs.info("a second comment was not removed", comment=identity, why=exc)

    def _me(self, repository: str) -> str:
        """How GitHub calls who writes here; `app:NUMBER` for a GitHub App, "" for one that may not ask (Actions)."""
        if self.settings.app_id is not None:
            return f"app:{self.settings.app_id}"
        if repository not in self._logins:
            try:
                self._logins[repository] = str(self.connection.me(repository)["login"])
            except Forbidden:
                self._logins[repository] = ""
        return self._logins[repository]

    # --- deployments
    def _deployment(self, report: Report, seen: _Seen) -> None:
        if report.phase in (Phase.REMOVED, Phase.TAKEN):
            self._undeployed(report, seen)
            return
        state = "error" if report.again else DEPLOYMENT_STATES.get(report.phase)
        if not report.head:
            return
        if state is None:
            if report.phase is Phase.HELD:
                self._settled(report, seen, "")
            return
        seen.removed = False
        repository = report.pull.repository
        if seen.deployment[0] != report.head:
            seen.deployment, seen.state = (report.head, self._made(report, seen)), ()
        url = next((one.url for one in report.services if one.url), "")
        wanted = (state, url if state == "success" else "")
        path = f"/deployments/{seen.deployment[1]}/statuses"
        if seen.state != wanted and self._state_of(repository, seen.deployment[1]) != wanted:
            body = {"state": state, "description": _described(report), "auto_inactive": False}
            body |= {"environment_url": wanted[1]} if wanted[1] else {}
            body |= {"log_url": seen.url} if seen.url else {}
            self.connection.write(seen.urgency, "POST", repository, path, body)
        seen.state = wanted
        if state != "in_progress":
            self._settled(report, seen, state)

    def _settled(self, report: Report, seen: _Seen, state: str) -> None:
        """Of all commits, only the newest and the one that serves are not inactive."""
        settled = (report.head, report.serving, state)
        if seen.settled != settled:
            self._inactive(report, seen, keep={report.head, report.serving})
            seen.settled = settled

    def _made(self, report: Report, seen: _Seen) -> int:
        """The deployment of this commit: found, so that none is made twice; else made."""
        for one in self._deployments(report):
            if one["sha"] == report.head:
                return int(one["id"])
        body = {
            "ref": report.head,
            "environment": report.namespace,
            "description": "Preview of a pull request",
            "auto_merge": False,
            "required_contexts": [],
            "transient_environment": True,
            "production_environment": False,
        }
        answer = self.connection.write(seen.urgency, "POST", report.pull.repository, "/deployments", body)
        return int(answer["id"])

    def _deployments(self, report: Report) -> list[Mapping[str, Any]]:
        return self.connection.pages(report.pull.repository, "/deployments", environment=report.namespace)

    def _state_of(self, repository: str, deployment: int) -> tuple[str, str]:
        """State and URL that GitHub shows of it; the newest status comes first."""
        newest = self.connection.get(repository, f"/deployments/{deployment}/statuses", per_page=1)
        if not newest:
            return "", ""
        state = str(newest[0]["state"])
        return state, str(newest[0].get("environment_url") or "") if state == "success" else ""

    def _inactive(self, report: Report, seen: _Seen, keep: Collection[str] = ()) -> None:
        """All deployments are inactive, but those of the commits to keep."""
        for one in self._deployments(report):
            identity = int(one["id"])
            if one["sha"] in keep:
                seen.inactive.discard(identity)
                continue
            if identity not in seen.inactive and self._state_of(report.pull.repository, identity)[0] != "inactive":
                path = f"/deployments/{identity}/statuses"
                self.connection.write(seen.urgency, "POST", report.pull.repository, path, {"state": "inactive"})
            seen.inactive.add(identity)

    def _undeployed(self, report: Report, seen: _Seen) -> None:
        if seen.removed:
            return
        self._inactive(report, seen)
        try:
            path = f"/environments/{report.namespace}"
            self.connection.write(seen.urgency, "DELETE", report.pull.repository, path)
        except (Forbidden, NotFound) as exc:  # needs a right that few tokens have
            logs.info("the environment stays", environment=report.namespace, why=exc)
        seen.removed, seen.deployment, seen.state, seen.settled = True, ("", 0), (), ()

    # --- commits
    def status(self, pull: PullId, sha: str, status: Status, urgency: Urgency) -> None:
        """Raises what a write raises; nothing, where GitHub does not know the commit."""
        if not self.settings.status:
            return
        with self._turn:
            known, target = self._statuses.get((pull.repository, sha)), status.url or self._url(pull)
        try:
            if _shown(known or self._status_of(pull.repository, sha)) != _shown(status):
                body = {"state": status.state.value, "context": CONTEXT, "description": status.description}
                body |= {"target_url": target} if target else {}
                self.connection.write(urgency, "POST", pull.repository, f"/statuses/{sha}", body)
        except (NotFound, Declined) as exc:
            logs.info("a commit has no status", sha=sha, why=exc)
        except CxError:  # perhaps it was written
            with self._turn:
                self._statuses.pop((pull.repository, sha), None)
            raise
        with self._turn:
            if len(self._statuses) > SEEN_MAX:
                self._statuses.clear()
            self._statuses[pull.repository, sha] = status

    def _url(self, pull: PullId) -> str:
        """Of the comment, where it is known."""
        return self._seen[pull].url if pull in self._seen else ""

    def _status_of(self, repository: str, sha: str) -> Status | None:
        """What GitHub shows of the commit; the newest comes first. The comment's address is no part of it."""
        for one in self.connection.pages(repository, f"/commits/{sha}/statuses"):
            if one["context"] == CONTEXT:
                state, target = State(one["state"]), str(one.get("target_url") or "")
                url = "" if state is not State.SUCCESS or "#issuecomment-" in target else target
                return Status(state, str(one.get("description") or ""), url, state is not State.PENDING)
        return None

    # --- parts
    @contextmanager
    def _alone(self, pull: PullId) -> Iterator[_Seen]:
        """What was seen of the pull request, for one thread at a time."""
        with self._turn:
            turn = self._turns.setdefault(pull, threading.Lock())
        with turn:
            with self._turn:
                if len(self._seen) > SEEN_MAX:
                    self._seen.clear()
                seen = self._seen.setdefault(pull, _Seen())
            yield seen

    def _forget(self, pull: PullId) -> None:
        """What was seen may be wrong: the next time looks."""
        with self._turn:
            self._seen.pop(pull, None)


def _login(one: Mapping[str, Any]) -> str:
    return str((one.get("user") or {}).get("login") or "")


def _written_by(one: Mapping[str, Any], me: str) -> bool:
    user = one.get("user") or {}
    if me.startswith("app:"):  # and not for a person by the same App
        app = str((one.get("performed_via_github_app") or {}).get("id"))
        return app == me.removeprefix("app:") and user.get("type") == "Bot"
    return user.get("login") == me if me else user.get("type") == "Bot"


def _shown(status: Status | None) -> tuple[str, ...]:
    """What GitHub keeps of it."""
    return (status.state, status.description, status.url) if status else ()


def _described(report: Report) -> str:
    status = of_report(report)
    return status.description if status else ""
