"""The host's people act on namespaces of pull requests, too: the pull request is told of it."""

from __future__ import annotations

import time
from collections.abc import Collection

from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.pulls.commands import Command, Verb
from cx.pulls.delivery import Delivery
from cx.store import Store


def tell_pull(
    store: Store, followed: Collection[str], namespace: Namespace, owner: Origin, verb: Verb | None = None
) -> None:
    """The listener looks at the pull request that owns the namespace, and obeys `verb` as if it stood in a comment.

    No effect unless `owner` is a pull request of a followed repository.
    """
    from cx.store.deliveries import Deliveries
    from cx.store.pulls import PullsTable

    known = PullsTable(store.database).of(namespace, owner.repository)
    if known is None or owner.repository not in followed:
        return
    commands = (Command.by_hand(known.pull, verb, time.time()),) if verb else ()
    delivery = Delivery(f"by hand {time.time_ns()}", "by hand", asks=(known.pull,), commands=commands)
    Deliveries(store.database).accept(delivery)
