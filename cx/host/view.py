"""What people are shown of namespaces: intent and observation put side by side."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cx.core.errors import NotFound
from cx.core.history import FRESH, SERVING, Deployment
from cx.core.names import Namespace, natural
from cx.core.plan import settled
from cx.core.previews import DatabaseUse, Detail, Row, ServiceUse
from cx.core.state import Container, Desired, Observed, flaps
from cx.host import Host

if TYPE_CHECKING:
    from cx.docker.endings import Ending


def state(wish: Desired | None, seen: Observed, last: Deployment | None, *, flapping: bool = False) -> str:
    """One word for people: ready, asleep, updating, failed, unwell, deleting, orphan. `last`: the newest attempt that
    was to end with something that serves. `flapping`: a service has ended since, and may do so again."""
    if wish is None:
        return "orphan"
    if not wish.present:
        return "deleting"
    if wish.asleep:
        return "asleep" if settled(wish, seen) else "falling asleep"
    if last and last.outcome == "failed":
        return "failed (old one serves)" if seen.route and not seen.asleep else "failed"
    if seen.asleep:
        return "waking"
    if seen.route == wish.revision:
        well = all(one.well or one.starting for one in seen.of(wish.revision))
        return "ready" if well and not flapping else "unwell"
    return "updating" if seen.route else "incomplete"


def overview(host: Host) -> list[Row]:
    """Every namespace that is wanted or of which something is there; one listing of each system."""
    wishes = {wish.namespace.name: wish for wish in host.store.all_desired()}
    seen, routes = host.observing.with_routes()
    rows = []
    for name in sorted({*wishes, *seen}, key=natural):
        wish, there = wishes.get(name), seen.get(name, Observed())
        last, fresh = (host.store.last(Namespace(name), *kinds) for kinds in (SERVING, FRESH))
        serving = [one for one in there.containers if one.role in ("service", "pinned")]
        running = sum(one.well or one.starting for one in serving)
        endings = _endings(host, [one for one in serving if one.young or not (one.well or one.stopped)])
        flapping = _flapping(endings, last)
        now = state(wish, there, last, flapping=bool(flapping))
        rows.append(
            Row(
                name,
                now,
                wish.version if wish and wish.present else "",
                f"{running}/{len(serving)}",
                len(there.clones),
                fresh.finished_at if fresh else None,
                host.settings.base_url(routes[name].hosts[0]) if name in routes and routes[name].hosts else "",
                wish.expires_at if wish else None,
                "; ".join(_ills(there, endings, flapping)) if now == "unwell" else "",
                sum(ending.restarts for ending in endings.values()),
            )
        )
    return rows


def _endings(host: Host, them: Iterable[Container]) -> dict[Container, Ending]:
    from cx.docker.endings import last_ending

    return {one: last_ending(host.engine, one) for one in them}


def _flapping(endings: Mapping[Container, Ending], last: Deployment | None) -> list[Container]:
    """Those that have ended since the namespace was ready."""
    now = time.time()
    ready_s = now - (last.finished_at or now) if last else now
    return [
        one
        for one, ending in endings.items()
        if ending.began_at and flaps(ending.restarts, now - ending.began_at.timestamp(), ready_s)
    ]


def _ills(seen: Observed, endings: Mapping[Container, Ending], flapping: Sequence[Container]) -> list[str]:
    """What is not well, in words."""
    ill = [one for one in seen.containers if one.role != "release" and not (one.well or one.starting)]
    words = []
    for one in dict.fromkeys([*ill, *flapping]):
        ending = endings.get(one)
        words.append(f"{one.service} {(ending.told(one.service) if ending else '') or f'is {one.health or one.state}'}")
    return sorted(set(words))


def detail(host: Host, namespace: Namespace) -> Detail:
    """Raises NotFound for a namespace of which there is nothing, and which nobody wants."""
    wish = host.store.desired(namespace)
    seen = host.observe(namespace)
    if wish is None and not seen.leftovers():
        raise NotFound(f"{namespace} does not exist", remedy="`cx list` shows what does")
    deployments = host.history(namespace)
    with ThreadPoolExecutor(max_workers=8) as pool:
        asleep = bool(wish and wish.asleep)
        services = list(pool.map(lambda one: _use(host, one, asleep=asleep), seen.containers))
    last = next((one for one in deployments if one.doing in SERVING), None)
    flapping = _flapping(_endings(host, [one for one in seen.containers if one.young]), last)
    clones = [
        DatabaseUse(
            one.source,
            one.database,
            one.size_bytes or 0,
            one.created_at.timestamp() if one.created_at else None,
        )
        for one in host.all_clones(namespace, sizes=True)
    ]
    return Detail(
        namespace.name,
        state(wish, seen, last, flapping=bool(flapping)),
        wish.version if wish else "",
        str(wish.origin) if wish else "",
        [host.settings.base_url(one) for one in host.router.observe(namespace).hosts],
        services,
        clones,
        deployments,
        wish.expires_at if wish else None,
    )


def _use(host: Host, one: Container, *, asleep: bool) -> ServiceUse:
    from cx.docker.endings import last_ending
    from cx.docker.measuring import measured

    use, ending = measured(host.engine, one), last_ending(host.engine, one)
    now = "done" if one.done and one.role in ("service", "pinned", "job") else one.state
    return ServiceUse(
        one.service,
        one.role,
        f"{now} ({one.health})" if one.health else now,
        one.revision,
        use.memory_bytes,
        use.cpu,
        ending.restarts,
        "" if asleep else ending.told(one.service),
    )
