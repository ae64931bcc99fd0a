"""plan(desired, observed, blueprint) -> stages. Pure: no clock, no engine, no file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cx.core.blueprint import Blueprint
from cx.core.names import Names
from cx.core.state import Clone, Desired, Do, Observed, Stage, Step


def settled(wish: Desired, seen: Observed) -> bool:
    """True when nothing is to be done: the wanted revision is the only one, is well or starts, and is routed to; it has
    a clone behind each pooler, and its release has run on them; and no image is there that nothing uses.

    What starts and is routed to has answered before, or was started by the engine, which goes on asking how it is.
    """
    if not wish.present:
        return not seen.leftovers()
    if wish.asleep:
        return _rests(seen)
    return not seen.asleep and all(one.well or one.starting for one in seen.containers) and _whole(wish, seen)


def _rests(seen: Observed) -> bool:
    """Nothing runs, and who asks is told so. Whatever else there is stays as it is until it wakes."""
    quiet = all(one.stopped for one in seen.containers) and not seen.candidate and not seen.checkouts
    return quiet and (seen.asleep or not seen.route)


def _whole(wish: Desired, seen: Observed) -> bool:
    """All that the wanted revision consists of is there, and nothing else; whether or not it runs."""
    mine = seen.of(wish.revision)
    return (
        seen.route == wish.revision
        and not seen.candidate
        and not wish.reset_data
        and not seen.checkouts
        and any(one.role == "service" for one in mine)
        and all(one.complete and not one.littered for one in seen.clones)
        and sum(one.way == "pooler" for one in seen.clones) == sum(one.role == "pooler" for one in mine)
        and sum(one.way == "server" for one in seen.clones) == sum(one.role == "server" for one in seen.containers)
        and all(one.data == seen.data for one in mine if one.role == "release")
        and all(one.data in ("", seen.data) for one in mine if one.role in ("service", "job"))
        and {*seen.images} <= {one.image for one in seen.containers}
        and set(seen.revisions) == {wish.revision}
    )


def plan(wish: Desired, seen: Observed, names: Names, blueprint: Blueprint | None) -> list[Stage]:
    """The stages that bring a namespace from `seen` to `wish`; the steps of one may run side by side.

    A wish for presence needs the `blueprint` of the wanted revision. Every stage is safe to repeat, and a
    plan made after any of its steps has died completes the work.
    """
    if not wish.present:
        return _absent(seen)
    if settled(wish, seen):
        return []
    if wish.asleep:
        return _asleep(seen)
    if blueprint is None:
        raise ValueError("a namespace that is to be present needs a blueprint")
    if _only_sleeps(wish, seen, names, blueprint):
        return [(Step(Do.WAKE),), (Step(Do.AWAIT),), (Step(Do.PUBLISH),)]
    stages = [
        _parts(wish, seen, names, blueprint),
        *([(Step(Do.PIN),)] if blueprint.lasting else []),
        *_release(wish, seen, blueprint),
        *([(Step(Do.CREATE),)] if seen.route == wish.revision else []),  # what serves goes as late as may be
        (Step(Do.START), Step(Do.OFFER)),
        (Step(Do.AWAIT),),
        _trial(blueprint),
        (Step(Do.PUBLISH),),
        _superseded(wish, seen, blueprint),
        _unused(seen, wish, names, blueprint),
    ]
    return [stage for stage in stages if stage]


def _trial(blueprint: Blueprint) -> Stage:
    """A service with a URL is to answer; of the others each is to stay up meanwhile."""
    quiet = {*blueprint.services, *blueprint.pinned} - {route.service for route in blueprint.routes}
    return (Step(Do.PROBE), *([Step(Do.STAY)] if quiet else []))


def _parts(wish: Desired, seen: Observed, names: Names, blueprint: Blueprint) -> Stage:
    """All that is there before anything of the revision runs; each step begins when what it needs is done. What an app
    reaches its databases through is the exception: it runs by then."""
    builds = [
        Step(Do.BUILD, build.service)
        for build in blueprint.builds
        if names.image(wish.namespace, build.service, build.digest) not in seen.images
    ]
    complete = {one.source for one in seen.clones if one.complete and not one.littered}
    clones = [
        Step(Do.RESET if wish.reset_data else Do.CLONE, use.name)  # a reset that was cut is not completed by a clone
        for use in blueprint.databases
        if wish.reset_data or use.name not in complete
    ]
    pooled = any(use.way == "pooler" for use in blueprint.databases)
    creates = seen.route != wish.revision
    return (
        *builds,
        *clones,
        Step(Do.LAY),
        *([Step(Do.POOL)] if pooled else []),
        *([Step(Do.CREATE)] if creates else []),
    )


def data_of(clones: Iterable[Clone], blueprint: Blueprint) -> str:
    """Stands for the data that the revision works on; clones that it does not use, and will go, do not count."""
    used = {use.name for use in blueprint.databases}
    return Observed(clones=tuple(one for one in clones if one.source in used)).data


def _release(wish: Desired, seen: Observed, blueprint: Blueprint) -> list[Stage]:
    """The release command runs once for a revision and the data that it ran on."""
    if blueprint.release is None:
        return []
    complete = {one.source for one in seen.clones if one.complete}
    data = data_of(seen.clones, blueprint)
    done = any(one.role == "release" and one.well and one.data == data for one in seen.of(wish.revision))
    if done and not wish.reset_data and complete >= {use.name for use in blueprint.databases}:
        return []
    return [(Step(Do.RELEASE),)]


def _superseded(wish: Desired, seen: Observed, blueprint: Blueprint) -> Stage:
    """Other revisions; and what outlived revisions (as revision "") when the wanted one has no such services."""
    outlived = any(one.role in ("pinned", "server") for one in seen.containers) or "" in seen.networks.values()
    gone = [Step(Do.RETIRE)] if outlived and not blueprint.lasting else []
    return (*(Step(Do.RETIRE, revision) for revision in seen.revisions if revision != wish.revision), *gone)


def _unused(seen: Observed, wish: Desired, names: Names, blueprint: Blueprint) -> Stage:
    """Images and databases that only the old revisions needed."""
    used = {names.image(wish.namespace, build.service, build.digest) for build in blueprint.builds}
    wanted = {use.name for use in blueprint.databases}
    return (
        *(Step(Do.UNTAG, image) for image in seen.images if image not in used),
        *(Step(Do.DROP, one.source) for one in seen.clones if one.source not in wanted),
    )


def _only_sleeps(wish: Desired, seen: Observed, names: Names, blueprint: Blueprint) -> bool:
    """Every container of the wanted revision is there, and was well when it was stopped."""
    there = {one.service for one in seen.containers if one.role in ("service", "job", "pinned")}
    return (
        seen.asleep
        and _whole(wish, replace(seen, checkouts=()))  # one that a pass left that died is gone by now
        and {*blueprint.services, *blueprint.pinned} <= there
        and all(one.well for one in seen.containers if one.role == "job")
        and not _release(wish, seen, blueprint)
        and names.network(wish.namespace, wish.revision) in seen.networks
        and {use.name for use in blueprint.databases} == {one.source for one in seen.clones}
    )


def _asleep(seen: Observed) -> list[Stage]:
    """Who asks is told first; then all is stopped."""
    stages: list[Stage] = [(Step(Do.REST),)] if seen.candidate or (seen.route and not seen.asleep) else []
    if not all(one.stopped for one in seen.containers):
        stages.append((Step(Do.SLEEP),))
    return [*stages, *([(Step(Do.REMOVE, "checkouts"),)] if seen.checkouts else [])]


def _absent(seen: Observed) -> list[Stage]:
    """Requests stop first, then containers go, then what they held on to, then the row."""
    stages: list[Stage] = []
    if seen.route or seen.candidate or seen.containers:
        first = [Step(Do.WITHDRAW)] if seen.route or seen.candidate else []
        stages.append((*first, *([Step(Do.REMOVE, "containers")] if seen.containers else [])))
    rest = [
        *(Step(Do.DROP, one.source) for one in seen.clones),
        *(Step(Do.UNTAG, image) for image in seen.images),
        *([Step(Do.REMOVE, "networks")] if seen.networks else []),
        *([Step(Do.REMOVE, "volumes")] if seen.volumes else []),
        *([Step(Do.REMOVE, "checkouts")] if seen.checkouts else []),
    ]
    if rest:
        stages.append(tuple(rest))
    return [*stages, (Step(Do.FORGET),)]
