"""All ports of cx.core.reconcile in memory, with a state that can be looked at.

Every change of the world is one effect: what is done before it stays done when the process dies at it. So a
death *inside* a step leaves what the real one would leave: a clone without its comment, a network without
containers, half of the containers. Like the real ones, the fakes refuse what is out of order: a container
without its image, the removal of an image that something runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from cx.core.blueprint import Blueprint, Build, DatabaseUse, Mounted, Pooler, Release, Route
from cx.core.errors import BuildFailed, CxError, ProbeFailed, ReleaseFailed, Retryable, StartFailed
from cx.core.names import Names, Namespace
from cx.core.ports import BuildWatch, Checkout, Waiting
from cx.core.reconcile import Outcome, Reconciler
from cx.core.state import Clone, Container, Desired, Observed, Routed

NAMES = Names("t")
PR_7 = Namespace("preview-7")
PR_8 = Namespace("preview-8")
PROJECT = "shop-0123abcd"

FAILURES: Mapping[str, CxError] = {
    "build": BuildFailed("it does not build", log=["no such file"]),
    "clone": Retryable("the server is away"),
    "create": StartFailed("it cannot be made"),
    "start": StartFailed("it does not start"),
    "well": StartFailed("it is not healthy"),
    "release": ReleaseFailed("a migration failed"),
    "probe": ProbeFailed("no answer"),
    "stay up": StartFailed("it ends again and again"),
}


class Died(BaseException):
    """The process is gone: nothing of it runs any more."""


def tree(letter: str) -> str:
    return letter * 40


def blueprint(letter: str, namespace: Namespace = PR_7) -> Blueprint:
    """What the tree of `letter` holds. `a` and `b` differ in their image only; `c` has other parts; `d` has none."""
    routes = (Route("web", f"{namespace}-web.localhost", 8000), Route("api", f"{namespace}-api.localhost", 9000))
    app = DatabaseUse("app", "db")
    release = Release("web", ("migrate",))
    services = {"web": {"image": ""}, "api": {"image": "nginx"}}
    builds = (Build("web", ".", "Dockerfile", digest=f"{letter}1"),)
    match letter:
        case "a" | "b":
            return Blueprint(services, {}, routes, builds, (app,), release=release, volumes=("files",))
        case "c":
            return Blueprint(
                services | {"worker": {"image": ""}},
                {"redis": {"image": "redis:8"}},
                routes[:1],
                (*builds, Build("worker", "worker", "worker/Dockerfile", digest="c2")),
                (DatabaseUse("stats", "stats"),),
                volumes=("redis",),
                mounted=(Mounted("conf"),),
            )
        case _:
            return Blueprint({"web": {"image": "nginx"}}, {}, routes[:1])


def wish(letter: str | None, *, namespace: Namespace = PR_7, reset: bool = False, asleep: bool = False) -> Desired:
    if letter is None:
        return Desired(namespace, present=False, project=PROJECT)
    return Desired(namespace, project=PROJECT, commit=tree(letter), tree=tree(letter), reset_data=reset, asleep=asleep)


@dataclass
class Place:
    """All that there is of one namespace."""

    containers: dict[str, Container] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    filled: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    clones: dict[str, Clone] = field(default_factory=dict)
    route: str = ""
    candidate: str = ""
    asleep: bool = False
    checkouts: set[str] = field(default_factory=set)


@dataclass
class World:
    rows: dict[Namespace, Desired] = field(default_factory=dict)
    kept: set[Namespace] = field(default_factory=set)  # git refs
    places: dict[Namespace, Place] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    released: list[tuple[str, str]] = field(default_factory=list)  # (revision, data) of every run
    effects: list[str] = field(default_factory=list)
    hooks: dict[str, Callable[[], None]] = field(default_factory=dict)  # called once, before the effect of that name
    guarded: bool = False  # from now on PR_7 is to answer all the time
    downtime: list[str] = field(default_factory=list)  # the effects after which it did not
    stamps: int = 0
    waits: int = 0  # so often a step looks before what it waits for is so
    _lives: int | None = None  # effects until death
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # --- life and death
    def dying_after(self, effects: int) -> World:
        """The process lives for so many effects from now on, and dies at the next."""
        self._lives = effects
        return self

    def restarted(self) -> World:
        self._lives = None
        return self

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        """The block changes the world, unless the process dies before."""
        with self._lock:
            if hook := self.hooks.pop(name, None):
                hook()
            if self._lives == 0:
                raise Died(name)
            if self._lives is not None:
                self._lives -= 1
            yield
            self.effects.append(name)
            if self.guarded and not self.serving(PR_7):
                self.downtime.append(name)

    def fails(self, what: str) -> None:
        if what in self.failing:
            known = FAILURES[what]
            raise type(known)(known.what, log=known.log)

    # --- what one does to it
    def want(self, wanted: Desired) -> None:
        if wanted.present:
            self.kept.add(wanted.namespace)
        self.rows[wanted.namespace] = wanted

    def reconcile(self, namespace: Namespace = PR_7) -> Outcome:
        return self.reconciler().reconcile(namespace, Silent())

    def reconciler(self) -> Reconciler:
        return Reconciler(
            NAMES, Workloads(self), Databases(self), Router(self), Sources(self), Intent(self), read=self._read
        )

    def brought_to(self, *wishes: Desired) -> World:
        """Each of `wishes` was wanted, and reached."""
        for one in wishes:
            self.want(one)
            self.reconcile(one.namespace)
        return self

    @staticmethod
    def _read(wanted: Desired, checkout: Checkout) -> Blueprint:
        return blueprint(checkout().name[0], wanted.namespace)

    # --- what one sees of it
    def place(self, namespace: Namespace) -> Place:
        with self._lock:
            return self.places.setdefault(namespace, Place())

    def observed(self, namespace: Namespace = PR_7) -> Observed:
        return self.reconciler().observe(namespace)

    def serving(self, namespace: Namespace = PR_7) -> str:
        """The revision that answers requests; "" when there is no route, or something behind it does not run."""
        place = self.place(namespace)
        mine = [one for one in place.containers.values() if one.revision == place.route and one.role != "release"]
        answers = (
            not place.asleep and place.route in place.networks.values() and mine and all(one.running for one in mine)
        )
        return place.route if answers else ""

    def leftovers(self, namespace: Namespace = PR_7) -> list[str]:
        """What a namespace that is gone has left, the row and the ref too."""
        left = self.observed(namespace).leftovers()
        left += ["row"] if namespace in self.rows else []
        return left + (["ref"] if namespace in self.kept else [])

    def litter(self, namespace: Namespace = PR_7) -> list[str]:
        """What is there of a namespace and not of what is wanted of it; and what is missing."""
        wanted = self.rows.get(namespace)
        if wanted is None or not wanted.present:
            return self.leftovers(namespace)
        parts, place, names = blueprint(wanted.tree[0], wanted.namespace), self.place(namespace), NAMES
        revision = wanted.revision
        containers = {f"{one}-{revision}" for one in parts.services}
        containers |= {f"pooler-{one.name}-{revision}" for one in parts.databases}
        containers |= set(parts.pinned) | ({f"release-{revision}"} if parts.release else set())
        networks = {names.network(namespace, revision)} | ({names.network(namespace)} if parts.pinned else set())
        files = {names.files_volume(namespace, revision)} if parts.mounted else set()
        pairs: list[tuple[str, set[str], set[str]]] = [
            ("containers", set(place.containers), containers),
            ("networks", set(place.networks), networks),
            ("volumes with files", {one for one, of in place.volumes.items() if of}, files),
            ("filled volumes", place.filled, files),
            ("images", place.images, {names.image(namespace, one.service, one.digest) for one in parts.builds}),
            (
                "clones",
                {one.source for one in place.clones.values() if one.complete},
                {u.name for u in parts.databases},
            ),
            ("half-made clones", {one.source for one in place.clones.values() if not one.complete}, set()),
            ("candidate", {place.candidate}, {""}),
            ("checkouts", place.checkouts, set()),
        ]
        return [f"{what}: {there} instead of {should}" for what, there, should in pairs if there != should]


class Silent:
    def began(self, wish: Desired) -> None: ...
    def step_began(self, step: str) -> None: ...
    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None: ...
    def line(self, step: str, text: str) -> None: ...
    def ended(self, outcome: str, error: CxError | None) -> None: ...


@dataclass
class Workloads:
    world: World

    def observe(self, namespace: Namespace) -> Observed:
        place = self.world.place(namespace)
        return Observed(
            containers=tuple(sorted(place.containers.values(), key=lambda one: one.name)),
            networks=dict(place.networks),
            volumes=dict(place.volumes),
            images=tuple(sorted(place.images)),
        )

    def build(self, wish: Desired, build: Build, checkout: Checkout, watch: BuildWatch) -> None:
        watch.line("#1 FROM scratch")
        with self.world.effect(f"build {build.service}"):
            self.world.fails("build")
            self.world.place(wish.namespace).images.add(NAMES.image(wish.namespace, build.service, build.digest))

    def lay(self, wish: Desired, blueprint: Blueprint, checkout: Checkout) -> None:
        place = self.world.place(wish.namespace)
        for revision in ("", wish.revision) if blueprint.pinned else (wish.revision,):
            with self.world.effect("create network"):
                place.networks[NAMES.network(wish.namespace, revision)] = revision
        for volume in blueprint.volumes:
            with self.world.effect("create volume"):
                place.volumes[NAMES.volume(wish.namespace, volume)] = ""
        if blueprint.mounted:
            volume = NAMES.files_volume(wish.namespace, wish.revision)
            with self.world.effect("create volume"):
                place.volumes[volume] = wish.revision
            with self.world.effect("fill volume"):
                place.filled.add(volume)

    def pool(self, wish: Desired, blueprint: Blueprint, poolers: Sequence[Pooler]) -> None:
        for pooler in poolers:
            self._pooler(wish, pooler)

    def create(
        self, wish: Desired, blueprint: Blueprint, poolers: Sequence[Pooler], data: str, waiting: Waiting
    ) -> None:
        place = self.world.place(wish.namespace)
        for name in blueprint.services:
            self.world.fails("create")
            image = self._image(wish, blueprint, name)
            one = Container(name, f"{name}-{wish.revision}", name, "service", wish.revision, "created", image=image)
            if one.name not in place.containers:
                with self.world.effect("create container"):
                    place.containers[one.name] = one

    def pin(
        self,
        wish: Desired,
        blueprint: Blueprint,
        checkout: Checkout,
        poolers: Sequence[Pooler],
        data: str,
        waiting: Waiting,
    ) -> None:
        assert NAMES.network(wish.namespace) in self.world.place(wish.namespace).networks
        for name, service in blueprint.pinned.items():
            self._run(wish, name, Container(name, name, name, "pinned", "", "created", image=service["image"]))

    def release(
        self,
        wish: Desired,
        blueprint: Blueprint,
        checkout: Checkout,
        poolers: Sequence[Pooler],
        data: str,
        waiting: Waiting,
    ) -> None:
        place, name = self.world.place(wish.namespace), f"release-{wish.revision}"
        if name in place.containers:
            with self.world.effect("remove container"):
                del place.containers[name]
        self._all_pooled(wish, blueprint.databases)
        image = self._image(wish, blueprint, "web")
        job = Container(name, name, "web", "release", wish.revision, "created", data=data, image=image)
        with self.world.effect("create container"):
            place.containers[name] = job
        with self.world.effect("run release"):  # from here on it runs by itself, whoever waits for it
            failed = "release" in self.world.failing
            place.containers[name] = replace(job, state="exited", exit_code=int(failed))
            if not failed:
                self.world.released.append((wish.revision, data))
        self.world.fails("release")

    def start(self, wish: Desired, blueprint: Blueprint, checkout: Checkout, waiting: Waiting) -> None:
        self._all_pooled(wish, blueprint.databases)
        for number, name in enumerate(blueprint.services):
            if number:
                self.world.fails("start")  # half of them run by then
            one = self.world.place(wish.namespace).containers[f"{name}-{wish.revision}"]
            self._run(wish, one.name, one)
        if len(blueprint.services) == 1:
            self.world.fails("start")

    def await_well(self, wish: Desired, blueprint: Blueprint, waiting: Waiting) -> None:
        while self.world.waits:
            self.world.waits -= 1
            waiting("all to be well")
        self.world.fails("well")
        there = {one.service: one for one in self.observe(wish.namespace).of(wish.revision) if one.role == "service"}
        if set(there) != set(blueprint.services) or not all(one.well for one in there.values()):
            raise StartFailed("something does not run")

    def stay_up(self, wish: Desired, blueprint: Blueprint, waiting: Waiting) -> None:
        self.world.fails("stay")

    def must_stay_up(self, wish: Desired) -> None:
        self.world.fails("stay up")

    def targets(self, wish: Desired, blueprint: Blueprint) -> Mapping[str, Sequence[str]]:
        if NAMES.network(wish.namespace, wish.revision) not in self.world.place(wish.namespace).networks:
            raise Retryable("its network is gone")
        return {route.host: [f"http://{wish.revision}:{route.port}"] for route in blueprint.routes}

    def failure_log(self, namespace: Namespace, revision: str) -> Sequence[str]:
        return [f"last words of {one.service}" for one in self.observe(namespace).of(revision) if one.role == "service"]

    def sleep(self, namespace: Namespace) -> None:
        place = self.world.place(namespace)
        for one in self.observe(namespace).containers:
            if not one.stopped:
                with self.world.effect("stop container"):
                    place.containers[one.name] = replace(one, state="exited", exit_code=143)

    def wake(self, namespace: Namespace) -> None:
        place = self.world.place(namespace)
        for one in self.observe(namespace).containers:
            if one.role in ("service", "pinned", "pooler") and not one.running:
                with self.world.effect("start container"):
                    place.containers[one.name] = replace(one, state="running", exit_code=0)

    def retire(self, namespace: Namespace, revision: str) -> None:
        place, seen = self.world.place(namespace), self.observe(namespace)
        for one in seen.of(revision):
            with self.world.effect("stop container"):
                place.containers[one.name] = replace(one, state="exited")
        for one in seen.of(revision):
            with self.world.effect("remove container"):
                place.containers.pop(one.name, None)
        self._networks(namespace, [one for one, of in seen.networks.items() if of == revision])
        self._volumes(namespace, [one for one, of in seen.volumes.items() if revision and of == revision])

    def remove(self, namespace: Namespace, what: str) -> None:
        place, seen = self.world.place(namespace), self.observe(namespace)
        assert what in ("containers", "networks", "volumes")
        if what == "containers":
            for one in seen.containers:
                with self.world.effect("remove container"):
                    place.containers.pop(one.name, None)
        elif what == "networks":
            self._networks(namespace, seen.networks)
        else:
            self._volumes(namespace, seen.volumes)

    def untag(self, image: str) -> None:
        place = self.world.place(Namespace(image.split("/")[1]))
        if any(one.image == image for one in place.containers.values()):
            raise Retryable(f"image {image} is used")
        with self.world.effect("untag"):
            place.images.discard(image)

    # --- parts
    def _run(self, wish: Desired, name: str, wanted: Container) -> None:
        place = self.world.place(wish.namespace)
        there = place.containers.get(name)
        if there is None or there.image != wanted.image:
            with self.world.effect("create container"):
                place.containers[name] = wanted
        if not place.containers[name].running:
            with self.world.effect("start container"):
                assert NAMES.network(wish.namespace, wish.revision) in place.networks
                place.containers[name] = replace(place.containers[name], state="running", exit_code=0)

    def _all_pooled(self, wish: Desired, databases: Sequence[DatabaseUse]) -> None:
        """What would fail to start is refused: an app without the way to its database."""
        for use in databases:
            assert self.world.place(wish.namespace).containers[f"pooler-{use.name}-{wish.revision}"].running

    def _pooler(self, wish: Desired, pooler: Pooler) -> None:
        name = f"pooler-{pooler.use.name}-{wish.revision}"
        self._run(wish, name, Container(name, name, pooler.use.alias, "pooler", wish.revision, "created"))

    def _image(self, wish: Desired, blueprint: Blueprint, service: str) -> str:
        build = next((one for one in blueprint.builds if one.service == service), None)
        if build is None:
            return str(blueprint.services[service]["image"])
        image = NAMES.image(wish.namespace, service, build.digest)
        if image not in self.world.place(wish.namespace).images:
            raise StartFailed(f"there is no image {image}")
        return image

    def _networks(self, namespace: Namespace, names: Sequence[str] | Mapping[str, str]) -> None:
        for name in list(names):
            with self.world.effect("remove network"):
                self.world.place(namespace).networks.pop(name, None)

    def _volumes(self, namespace: Namespace, names: Sequence[str] | Mapping[str, str]) -> None:
        place = self.world.place(namespace)
        for name in list(names):
            revision = place.volumes.get(name, "")
            if any(one.revision == revision for one in place.containers.values()):
                raise Retryable(f"volume {name} is used")
            with self.world.effect("remove volume"):
                place.volumes.pop(name, None)
                place.filled.discard(name)


@dataclass
class Databases:
    world: World

    def observe(self, namespace: Namespace) -> tuple[Clone, ...]:
        clones, silent = self.reachable(namespace)
        if silent:
            raise silent
        return clones

    def reachable(self, namespace: Namespace) -> tuple[tuple[Clone, ...], CxError | None]:
        if "databases" in self.world.failing:
            return (), Retryable("the database server does not answer", remedy="cx up")
        return tuple(self.world.place(namespace).clones.values()), None

    def clone(self, namespace: Namespace, source: str) -> None:
        clones = self.world.place(namespace).clones
        if source in clones and clones[source].complete:
            return
        if source in clones:
            self.drop(namespace, source)
        with self.world.effect("create database"):
            clones[source] = Clone(source, NAMES.database(namespace, source), complete=False)
        self.world.fails("clone")
        with self.world.effect("comment on database"):
            self.world.stamps += 1
            clones[source] = replace(clones[source], complete=True, created=str(self.world.stamps))

    def reset(self, namespace: Namespace, source: str) -> None:
        self.drop(namespace, source)
        self.clone(namespace, source)

    def drop(self, namespace: Namespace, source: str) -> None:
        with self.world.effect("drop database"):
            self.world.place(namespace).clones.pop(source, None)

    def pooler(self, namespace: Namespace, use: DatabaseUse) -> Pooler:
        found = self.world.place(namespace).clones.get(use.name)
        if found is None or not found.complete:
            raise Retryable(f"its database {use.name} is gone")
        return Pooler(use, {}, {})


@dataclass
class Router:
    world: World

    def routed(self, namespace: Namespace) -> Routed:
        place = self.world.place(namespace)
        return Routed(place.route, bool(place.candidate), place.asleep)

    def offer(self, namespace: Namespace, revision: str, targets: Mapping[str, Sequence[str]]) -> None:
        with self.world.effect("offer"):
            self.world.place(namespace).candidate = revision

    def publish(self, namespace: Namespace, revision: str, targets: Mapping[str, Sequence[str]]) -> Callable[[], None]:
        place = self.world.place(namespace)
        before = place.route, place.candidate, place.asleep

        def put_back() -> None:
            with self.world.effect("put back"):
                place.route, place.candidate, place.asleep = before

        with self.world.effect("publish"):
            place.route, place.candidate, place.asleep = revision, "", False
        return put_back

    def rest(self, namespace: Namespace) -> None:
        place = self.world.place(namespace)
        with self.world.effect("rest"):
            place.candidate, place.asleep = "", bool(place.route)

    def withdraw_candidate(self, namespace: Namespace) -> None:
        if self.world.place(namespace).candidate:
            with self.world.effect("withdraw candidate"):
                self.world.place(namespace).candidate = ""

    def withdraw(self, namespace: Namespace) -> None:
        with self.world.effect("withdraw"):
            place = self.world.place(namespace)
            place.route = place.candidate = ""
            place.asleep = False

    def probe(
        self, route: Route, revision: str, *, candidate: bool, timeout_s: float, meanwhile: Callable[[], None]
    ) -> int:
        place = self.world.place(route_namespace(route))
        self.world.fails("probe")
        meanwhile()
        asked = place.candidate if candidate else place.route
        running = [one.service for one in place.containers.values() if one.revision == revision and one.running]
        if asked != revision or route.service not in running:
            raise ProbeFailed(f"{route.host} does not answer")
        return 200


def route_namespace(route: Route) -> Namespace:
    return PR_7 if route.host.startswith(f"{PR_7}-") else PR_8


@dataclass
class Sources:
    world: World

    @contextmanager
    def checkout(self, namespace: Namespace, project: str, tree: str) -> Iterator[Path]:
        place = self.world.place(namespace)
        with self.world.effect("check out"):
            place.checkouts = {tree}  # as the real one: what was there before goes first
        try:
            yield Path("/checkout") / tree
        except Died:
            raise  # the dead do not tidy up
        except BaseException:
            place.checkouts = set()
            raise
        with suppress(KeyError):
            place.checkouts.remove(tree)

    def checkouts(self, namespace: Namespace) -> tuple[str, ...]:
        return tuple(self.world.place(namespace).checkouts)

    def remove_checkouts(self, namespace: Namespace) -> None:
        with self.world.effect("remove checkouts"):
            self.world.place(namespace).checkouts = set()

    def forget(self, namespace: Namespace, project: str) -> None:
        with self.world.effect("forget ref"):
            self.world.kept.discard(namespace)


@dataclass
class Intent:
    world: World

    def desired(self, namespace: Namespace) -> Desired | None:
        return self.world.rows.get(namespace)

    def data_was_reset(self, namespace: Namespace) -> None:
        if namespace in self.world.rows and self.world.rows[namespace].reset_data:
            with self.world.effect("data was reset"):
                self.world.rows[namespace] = replace(self.world.rows[namespace], reset_data=False)

    def forget(self, namespace: Namespace) -> None:
        with self.world.effect("forget"):
            found = self.world.rows.get(namespace)
            if found and not found.present:
                del self.world.rows[namespace]
