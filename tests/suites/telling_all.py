"""Everything that a report makes GitHub show, at once."""

from __future__ import annotations

from cx.forges.github import GitHubAnnouncer
from cx.pulls.budget import Urgency
from cx.pulls.statuses import of_report
from cx.pulls.values import Report


def tell_all(announcer: GitHubAnnouncer, report: Report, urgency: Urgency = Urgency.FINAL) -> None:
    """Comment and deployment, and the commit's status."""
    announcer.announce(report, urgency)
    if status := of_report(report):
        announcer.status(report.pull, report.head, status, urgency)
