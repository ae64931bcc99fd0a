"""Networks, volumes, images and containers of namespaces: what the core asks of an engine."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from docker.errors import APIError, NotFound

from cx.core.blueprint import Blueprint, Build, Pooler
from cx.core.errors import Retryable
from cx.core.names import LABEL_REVISION, Names, Namespace
from cx.core.ports import BuildWatch, Checkout, Waiting
from cx.core.state import Container, Desired, Observed
from cx.docker import build as images
from cx.docker import containers, facts, files
from cx.docker import poolers as pooling
from cx.docker.bake import Scope
from cx.docker.connection import Engine, translated
from cx.docker.endings import last_ending
from cx.docker.logs import last_lines
from cx.docker.model import POOLER, RELEASE, SERVER, Limits, Modeller
from cx.docker.networks import Networks
from cx.docker.starting import Starting, create
from cx.docker.waiting import Waits
from cx.process.turns import Turns


@dataclass(frozen=True)
class Workloads:
    engine: Engine
    names: Names
    networks: Networks
    limits: Limits
    pooler_image: str
    build_timeout_s: float
    build_key: str  # tells caches of builds apart; who knows it could name another's
    turns: Turns  # of builds: steps of all of them are neighbours in one network, where each could answer for another
    fault: Callable[[str], None] = lambda _: None  # called at named points inside steps; a test may end the process

    # --- facts
    def observe(self, namespace: Namespace) -> Observed:
        return facts.observe(self.engine, self.names, namespace)

    def observe_all(self) -> dict[str, Observed]:
        return facts.observe_all(self.engine, self.names)

    # --- towards presence
    def build(self, wish: Desired, build: Build, checkout: Checkout, watch: BuildWatch) -> None:
        def line(text: str) -> None:
            self.fault("inside build")
            watch.line(text)

        def turn() -> AbstractContextManager[int]:
            def waiting(who: str) -> None:
                watch.waiting(f"{wish.namespace}: {build.service} waits for the build of {who}")

            wait_s, who = 2 * self.build_timeout_s, wish.namespace.name
            return self.turns.turn(wish.cache_scope, who, wait_s=wait_s, waiting=waiting, meanwhile=watch.still_wanted)

        images.build(
            self.engine,
            self.names,
            wish.namespace,
            build,
            checkout,
            scope=Scope.of(self.build_key, wish.cache_scope),
            turn=turn,
            timeout_s=self.build_timeout_s,
            line=line,
            still_wanted=watch.still_wanted,
        )

    def lay(self, wish: Desired, blueprint: Blueprint, checkout: Checkout) -> None:
        """The revision's network, the namespace's volumes and what is mounted from the checkout are there."""
        model = self._model(wish, blueprint)
        if blueprint.lasting:
            self._network(wish.namespace, "", 28)
        self._network(wish.namespace, wish.revision, model.prefix())
        self.fault("inside network")
        with translated("create volumes"):
            cloned = {use.alias for use in blueprint.databases if use.way == "volume"}
            for volume in (one for one in blueprint.volumes if one not in cloned):
                self.engine.api.create_volume(
                    self.names.volume(wish.namespace, volume),
                    labels=self.names.labels(wish.namespace, "volume"),
                )
            for volume, paths in model.folders().items():
                mine = {"revision": wish.revision} if volume == model.files_volume else {}
                owned = self.names.labels(wish.namespace, "files", **mine)
                self.engine.api.create_volume(volume, labels=owned)
                self.fault("inside volumes")
                files.fill(self.engine, volume, self.pooler_image, owned, checkout(), paths)

    def pool(self, wish: Desired, blueprint: Blueprint, poolers: Sequence[Pooler]) -> None:
        """The poolers of the revision run."""
        wanted = self._model(wish, blueprint).poolers(self._subnet(wish), poolers)
        pooling.run(self.engine, wanted, self._containers(wish.namespace), self.fault)

    def create(
        self, wish: Desired, blueprint: Blueprint, poolers: Sequence[Pooler], data: str, waiting: Waiting
    ) -> None:
        """Containers of every service of the revision are there; what runs as it should is left alone."""
        self._create(wish, blueprint, poolers, data, waiting)

    def pin(
        self,
        wish: Desired,
        blueprint: Blueprint,
        checkout: Checkout,
        poolers: Sequence[Pooler],
        data: str,
        waiting: Waiting,
    ) -> None:
        """The services that keep state run as the blueprint says, after the jobs that they wait for, and are members of
        the revision's network.

        The servers of clones take connections.
        """
        model, project = self._model(wish, blueprint), self.names.project(wish.namespace)
        create(wish.namespace, project, model.data_model(poolers), self.fault, waiting)
        self._remove_files(wish.namespace, but=model.folders())
        self.fault("inside stateful services")
        servers = {f"{project}-{SERVER}-{one.use.name}-1": one for one in poolers if one.server}
        starting = self._starting(wish, blueprint, checkout, waiting)
        for one in self._join_all(wish, blueprint, servers):
            of = servers[one.name]
            if one.stopped:
                files.put(self.engine, one.id, of.files)
                starting.start([one])
            self._waits(wish).until_server_answers(blueprint, one, of, waiting)
        wanted = starting.order.with_all(blueprint.pinned)
        if jobs := sorted(wanted - set(blueprint.pinned)):
            self._create(wish, blueprint, poolers, data, waiting, jobs)
        starting.run(wanted)

    def _join_all(self, wish: Desired, blueprint: Blueprint, servers: Mapping[str, Pooler]) -> list[Container]:
        """What outlives revisions is in the revision's network; the containers of `servers`."""
        model = self._model(wish, blueprint)
        addresses, network = model.addresses(self._subnet(wish)), self.names.network(wish.namespace, wish.revision)
        found = []
        for one in self._containers(wish.namespace):
            if one.role == "pinned" and one.service in blueprint.pinned:
                self._join(one, network, addresses[one.service], model.aliases(one.service))
            elif one.role == "server" and (of := servers.get(one.name)):
                self._join(one, network, addresses[f"{POOLER}-{of.use.name}"], model.aliases(of.use.alias))
                found.append(one)
        return found

    def _join(self, one: Container, network: str, address: str, aliases: Sequence[str]) -> None:
        with translated(f"join {one.name} to {network}"):
            try:
                self.engine.api.connect_container_to_network(
                    one.id, network, ipv4_address=address, aliases=list(aliases)
                )
            except APIError as exc:
                if "already exists in network" not in str(exc.explanation):
                    raise

    def release(
        self,
        wish: Desired,
        blueprint: Blueprint,
        checkout: Checkout,
        poolers: Sequence[Pooler],
        data: str,
        waiting: Waiting,
    ) -> None:
        """The release command has ended well. Raises ReleaseFailed with its last lines.

        It begins when what its service waits for is so, of what outlives revisions.
        """
        assert blueprint.release is not None  # noqa: S101 - the plan has this step only then
        containers.remove(self.engine, self._of(wish, role="release"))
        starting = self._starting(wish, blueprint, checkout, waiting)
        self._create(wish, blueprint, poolers, data, waiting, [RELEASE])
        starting.until_ready_for(blueprint.release.service)
        starting.start(self._of(wish, role="release"))
        self.fault("inside release")
        self._waits(wish).until_released(blueprint.release.timeout_s, waiting)

    def start(self, wish: Desired, blueprint: Blueprint, checkout: Checkout, waiting: Waiting) -> None:
        """Every service of the revision, whose container is there, was started, in the order that the project gives."""
        self._starting(wish, blueprint, checkout, waiting).run(blueprint.services)

    def _create(
        self,
        wish: Desired,
        blueprint: Blueprint,
        poolers: Sequence[Pooler],
        data: str,
        waiting: Waiting,
        services: Sequence[str] = (),
    ) -> None:
        model = self._model(wish, blueprint).revision_model(self._subnet(wish), poolers, data)
        create(wish.namespace, self.names.project(wish.namespace, wish.revision), model, self.fault, waiting, services)

    def _starting(self, wish: Desired, blueprint: Blueprint, checkout: Checkout, waiting: Waiting) -> Starting:
        network = self.names.network(wish.namespace, wish.revision)
        since = self.networks.made_at(network) if blueprint.pinned else None
        placed = self._model(wish, blueprint).placed()
        return Starting(self.engine, self.names, wish, blueprint, since, placed, checkout, waiting)

    def _waits(self, wish: Desired) -> Waits:
        return Waits(self.engine, self.names, wish)

    def await_well(self, wish: Desired, blueprint: Blueprint, waiting: Waiting) -> None:
        """Every service of the revision runs and is healthy, or is done. Raises StartFailed."""
        self._waits(wish).until_well(blueprint, waiting)

    def stay_up(self, wish: Desired, blueprint: Blueprint, waiting: Waiting) -> None:
        """Every service that no probe and no health check looks at has stayed up for a while. Raises StartFailed."""
        self._waits(wish).until_stayed_up(blueprint, waiting)

    def must_stay_up(self, wish: Desired) -> None:
        """Raises StartFailed where a service of the revision ends again and again: nobody need wait for it."""
        self._waits(wish).must_stay_up()

    def targets(self, wish: Desired, blueprint: Blueprint) -> dict[str, list[str]]:
        """For each routed host the addresses that answer for it."""
        model = self._model(wish, blueprint)
        subnet = self._subnet(wish)
        return {route.host: model.targets(route, subnet) for route in blueprint.routes}

    # --- rest
    def sleep(self, namespace: Namespace) -> None:
        """Nothing of the namespace runs, and the engine starts nothing of it by itself. What others need goes last."""
        for roles in (("service", "job", "release"), ("pinned", "server", "pooler")):
            mine = [one for one in self._containers(namespace) if one.role in roles and not one.stopped]
            containers.rest(self.engine, mine)
            self.fault("inside stop")

    def wake(self, namespace: Namespace) -> None:
        """The containers that `sleep` stopped are started, as they are. What is done stays done."""
        for roles in (("pinned", "server", "pooler"), ("service",)):
            mine = [one for one in self._containers(namespace) if one.role in roles]
            mine = [one for one in mine if not facts.closely(self.engine, one).done]
            containers.start(self.engine, [one for one in mine if one.stopped])
            containers.each(lambda one: containers.keep(self.engine, one), mine)
            self.fault("inside wake")

    # --- towards absence
    def retire(self, namespace: Namespace, revision: str) -> None:
        """Nothing is left of the revision; its containers were asked to stop first.

        As revision "" the services that outlive revisions; their volumes stay, for they are the data.
        """
        seen = self.observe(namespace)
        containers.stop(self.engine, seen.of(revision))
        self.fault("inside retire")
        containers.remove(self.engine, seen.of(revision))
        self.fault("inside retire, containers gone")
        for name in (one for one, of in seen.networks.items() if of == revision):
            self._remove_network(name)
        for name in (one for one, of in seen.volumes.items() if revision and of == revision):
            self._remove_volume(name)
        if not revision:
            self._remove_files(namespace)

    def remove(self, namespace: Namespace, what: str) -> None:
        """No `what` (containers, networks, volumes) of the namespace is left."""
        if what == "containers":
            containers.remove(self.engine, self._containers(namespace))
        elif what == "networks":
            containers.each(self._remove_network, self.observe(namespace).networks)
        elif what == "volumes":
            containers.each(self._remove_volume, self.observe(namespace).volumes)

    def untag(self, image: str) -> None:
        images.untag(self.engine, image)

    # --- looking inside
    def failure_log(self, namespace: Namespace, revision: str) -> tuple[str, ...]:
        """The last lines of the revision's services, for a failure that no single one of them is known to be."""
        lines: list[str] = []
        for one in self._containers(namespace):
            if (one.revision, one.role) == (revision, "service"):
                lines += [f"{one.service} | {line}" for line in self.log(one, 10)]
                if (ending := last_ending(self.engine, one)).words:
                    lines.append(f"{one.service} {ending.words}")
        return tuple(lines[-30:])

    def log(self, container: Container, lines: int) -> tuple[str, ...]:
        """Its last lines; none where it is gone."""
        return last_lines(self.engine, container, lines)

    # --- parts
    def _model(self, wish: Desired, blueprint: Blueprint) -> Modeller:
        return Modeller(self.names, wish.namespace, wish.revision, blueprint, self.limits, self.pooler_image)

    def _subnet(self, wish: Desired) -> ipaddress.IPv4Network:
        subnet = self.networks.subnet(self.names.network(wish.namespace, wish.revision))
        if subnet is None:
            raise Retryable(f"{wish.namespace}: its network is gone", remedy="deploy again")
        return subnet

    def _network(self, namespace: Namespace, revision: str, prefix: int) -> None:
        owned = self.names.labels(namespace, "network", **({"revision": revision} if revision else {}))
        self.networks.ensure(self.names.network(namespace, revision), owned, prefix)

    def _containers(self, namespace: Namespace) -> tuple[Container, ...]:
        return facts.containers(self.engine, self.names, namespace)

    def _of(self, wish: Desired, role: str) -> list[Container]:
        return [one for one in self._containers(wish.namespace) if (one.revision, one.role) == (wish.revision, role)]

    def _remove_network(self, name: str) -> None:
        """Also when a container that outlives the revision is still a member, and whether or not that runs."""
        with translated(f"leave network {name}"):
            for member in self.engine.api.containers(all=True, filters={"network": name}):
                with suppress(NotFound):  # it has gone meanwhile, and is no member any more
                    self.engine.api.disconnect_container_from_network(member["Id"], name, force=True)
        self.networks.remove(name)

    def _remove_files(self, namespace: Namespace, but: Collection[str] = ()) -> None:
        """What services that outlive revisions mount from a checkout is there in the volumes `but` alone."""
        labels = [f"{key}={value}" for key, value in self.names.labels(namespace, "files").items()]
        with translated("list volumes"):
            found = self.engine.api.volumes(filters={"label": labels})["Volumes"] or []
        for one in found:
            if LABEL_REVISION not in one["Labels"] and one["Name"] not in but:
                self._remove_volume(one["Name"])

    def _remove_volume(self, name: str) -> None:
        with translated(f"remove volume {name}"):
            try:
                self.engine.api.remove_volume(name)
            except NotFound:
                return
