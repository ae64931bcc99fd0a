"""What a look would do. Nothing is written anywhere, not even that somebody asked."""

from __future__ import annotations

from cx.pulls.look import Follower
from cx.pulls.ports import Known
from cx.pulls.rules import May
from cx.pulls.values import PullId


def planned(of: Follower, pull_id: PullId) -> str:
    """In one line."""
    rules = of.rules(pull_id.repository)
    if rules is None:
        return f"{pull_id}: not followed; its repository is not in github.repositories"
    known = of.pulls.known(pull_id)
    pull = of.forge.pull(pull_id)
    namespace = known.namespace if known else of.name(pull_id)
    if pull is None:
        return f"{pull_id}: there is no such pull request" + (f"; would delete {namespace}" if known else "")
    verdict = of.judge(pull, rules, known or Known(pull_id, namespace))
    if verdict.may is May.NOT:
        doing = f"would delete {namespace}" if known else "nothing to do"
        return f"{pull_id}: {doing}: {verdict.why}"
    if verdict.may is May.WAIT:
        return f"{pull_id}: would wait: {verdict.why} {pull.head[:12]}"
    order = of.order(pull, rules, namespace, "deploy")
    if of.previews.taken(namespace, order.origin):
        return f"{pull_id}: nothing to do: another origin owns {namespace}"
    if of.previews.standing(order).ready:
        return f"{pull_id}: nothing to do: {namespace} is at {pull.head[:12]}"
    return f"{pull_id}: would deploy {pull.head[:12]} as {namespace}, from {order.origin}"
