"""What people are shown of namespaces: intent and observation put side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from cx.core.errors import NotFound
from cx.core.history import FRESH, SERVING, Deployment
from cx.core.names import Namespace
from cx.core.plan import settled
from cx.core.previews import DatabaseUse, Detail, Row, ServiceUse
from cx.core.state import Container, Desired, Observed
from cx.host import Host


def state(wish: Desired | None, seen: Observed, last: Deployment | None) -> str:
    """One word for people: ready, asleep, updating, failed, unwell, deleting, orphan. `last`: the newest attempt that
    was to end with something that serves."""
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
        return "ready" if well else "unwell"
    return "updating" if seen.route else "incomplete"


def overview(host: Host) -> list[Row]:
    """Every namespace that is wanted or of which something is there; one listing of each system."""
    wishes = {wish.namespace.name: wish for wish in host.store.all_desired()}
    seen, routes = host.observe_with_routes()
    rows = []
    for name in sorted({*wishes, *seen}):
        wish, there = wishes.get(name), seen.get(name, Observed())
        last, fresh = (host.store.last(Namespace(name), *kinds) for kinds in (SERVING, FRESH))
        serving = [one for one in there.containers if one.role in ("service", "pinned")]
        running = sum(one.well or one.starting for one in serving)
        rows.append(
            Row(
                name,
                state(wish, there, last),
                wish.version if wish and wish.present else "",
                f"{running}/{len(serving)}",
                len(there.clones),
                fresh.finished_at if fresh else None,
                host.settings.base_url(routes[name].hosts[0]) if name in routes and routes[name].hosts else "",
                wish.expires_at if wish else None,
            )
        )
    return rows


def detail(host: Host, namespace: Namespace) -> Detail:
    """Raises NotFound for a namespace of which there is nothing, and which nobody wants."""
    wish = host.store.desired(namespace)
    seen = host.observe(namespace)
    if wish is None and not seen.leftovers():
        raise NotFound(f"{namespace} does not exist", remedy="`cx list` shows what does")
    deployments = host.history(namespace)
    with ThreadPoolExecutor(max_workers=8) as pool:
        services = list(pool.map(lambda one: _use(host, one), seen.containers))
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
        state(wish, seen, next((one for one in deployments if one.doing in SERVING), None)),
        wish.version if wish else "",
        str(wish.origin) if wish else "",
        [host.settings.base_url(one) for one in host.router.observe(namespace).hosts],
        services,
        clones,
        deployments,
        wish.expires_at if wish else None,
    )


def _use(host: Host, one: Container) -> ServiceUse:
    from cx.docker.measuring import measured

    use = measured(host.engine, one)
    return ServiceUse(
        one.service,
        one.role,
        f"{one.state} ({one.health})" if one.health else one.state,
        one.revision,
        use.memory_bytes,
        use.cpu,
    )
