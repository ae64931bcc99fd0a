"""What can go wrong between cx and PostgreSQL.

Retryable
├── ServerUnavailable   the previews' server does not answer, or has no free connection
├── ServerBusy          somebody else holds the clone, or the source's refresh
└── SourceUnavailable   the source does not answer
Terminal
├── ServerRefused       the previews' server does not let cx do its work
├── NoSpace             the previews' server has no disk left
├── GoldenMissing       there is nothing to clone from yet
├── GoldenTooOld        what there is to clone from is older than allowed
├── BudgetSpent         no connections are left for another clone
├── SnapshotMissing     the namespace has no snapshot of this name
├── SourceRefused       the source answers, but not as it must: rights, version, content
├── DumpUnusable        the dump file is missing, empty, cut or not a dump
├── SanitiseFailed      the sanitise script, or command, failed: the old golden serves
├── Unmasked            columns that look personal have no rule: the old golden serves
├── LeakFound           raw values are where none must be: the old golden serves
└── RestoreFailed       the server does not take what the source holds
"""

from __future__ import annotations

from cx.core.errors import Busy, Retryable, Terminal


class ServerUnavailable(Retryable):
    pass


class ServerBusy(Busy):
    pass


class SourceUnavailable(Retryable):
    pass


class ServerRefused(Terminal):
    pass


class NoSpace(Terminal):
    pass


class GoldenMissing(Terminal):
    def __init__(self, source: str, what: str = "", remedy: str = "") -> None:
        super().__init__(what or f"database {source} has no golden yet", remedy=remedy or f"cx db refresh {source}")
        self.source = source


class GoldenTooOld(Terminal):
    pass


class BudgetSpent(Terminal):
    pass


class SnapshotMissing(Terminal):
    pass


class SourceRefused(Terminal):
    pass


class DumpUnusable(Terminal):
    pass


class SanitiseFailed(Terminal):
    pass


class Unmasked(Terminal):
    pass


class LeakFound(Terminal):
    pass


class RestoreFailed(Terminal):
    pass
