"""One look at one pull request: read it as GitHub has it now, decide what it may have, write that down as intent, bring
the namespace there, and tell. Whatever woke it (a delivery, the timer, a command) is only a hint.

`ports` is what it needs of the world, `look` one look, `said` what people told it, `workers` many of them, `sync` the
comparison with GitHub.
"""

from cx.pulls.ports import (
    Announcer,
    Cancelled,
    Commands,
    Comment,
    Credentials,
    Ended,
    Failure,
    Fetcher,
    Forge,
    ForgeFailed,
    Gauge,
    Inbox,
    Jobs,
    Known,
    Moved,
    Order,
    Previews,
    Pulls,
    Queue,
    Repositories,
    Standing,
    Ticket,
    origin_of,
)

__all__ = [
    "Announcer",
    "Cancelled",
    "Commands",
    "Comment",
    "Credentials",
    "Ended",
    "Failure",
    "Fetcher",
    "Forge",
    "ForgeFailed",
    "Gauge",
    "Inbox",
    "Jobs",
    "Known",
    "Moved",
    "Order",
    "Previews",
    "Pulls",
    "Queue",
    "Repositories",
    "Standing",
    "Ticket",
    "origin_of",
]
