"""Networks, volumes, images and containers of namespaces: what the core asks of an engine."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from docker.errors import APIError, NotFound

from cx.core.blueprint import Blueprint, Build, Pooler
from cx.core.errors import ReleaseFailed, Retryable, StartFailed
from cx.core.names import LABEL_INSTANCE, LABEL_NAMESPACE, LABEL_REVISION, Names, Namespace
from cx.core.ports import BuildWatch, Checkout
from cx.core.state import Container, Desired, Observed
from cx.docker import build as images
from cx.docker import containers, facts, files
from cx.docker import poolers as pooling
from cx.docker.bake import Scope
from cx.docker.connection import Engine, translated
from cx.docker.health import Asking
from cx.docker.logs import last_lines
from cx.docker.model import POOLER, RELEASE, SERVER, Limits, Modeller
from cx.docker.networks import Networks
from cx.docker.starting import Start
from cx.docker.watch import happenings
from cx.process.turns import Turns

RESTARTS = 5  # so many, in some 3 s of the engine's pauses, may a service need until what it waits for is there


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

    def create(self, wish: Desired, blueprint: Blueprint, poolers: Sequence[Pooler], data: str) -> None:
        """Containers of every service of the revision are there; what runs as it should is left alone."""
        self._start(wish, blueprint, poolers, data).create()

    def pin(self, wish: Desired, blueprint: Blueprint, checkout: Checkout, poolers: Sequence[Pooler]) -> None:
        """The services that keep state run as the blueprint says, and are members of the revision's network.

        The servers of clones take connections.
        """
        model = self._model(wish, blueprint)
        project = self.names.project(wish.namespace)
        given = model.data_model(poolers), model.placed()
        start = Start(self.engine, self.names, wish.namespace, project, *given, self.fault)
        start.create()
        start.run(checkout)
        self._remove_files(wish.namespace, but=model.folders())
        self.fault("inside stateful services")
        addresses = model.addresses(self._subnet(wish))
        network = self.names.network(wish.namespace, wish.revision)
        servers = {f"{project}-{SERVER}-{one.use.name}-1": one for one in poolers if one.server}
        for one in self._containers(wish.namespace):
            if one.role == "pinned" and one.service in blueprint.pinned:
                self._join(one, network, addresses[one.service], model.aliases(one.service))
            elif one.role == "server" and (of := servers.get(one.name)):
                self._join(one, network, addresses[f"{POOLER}-{of.use.name}"], model.aliases(of.use.alias))
                self._await_server(wish, blueprint, one, of)

    def _join(self, one: Container, network: str, address: str, aliases: Sequence[str]) -> None:
        with translated(f"join {one.name} to {network}"):
            try:
                self.engine.api.connect_container_to_network(
                    one.id, network, ipv4_address=address, aliases=list(aliases)
                )
            except APIError as exc:
                if "already exists in network" not in str(exc.explanation):
                    raise

    def _await_server(self, wish: Desired, blueprint: Blueprint, one: Container, of: Pooler) -> None:
        """The server of a clone takes connections. Raises StartFailed with its last lines."""
        assert of.server is not None  # noqa: S101 - it has a container
        until = time.monotonic() + blueprint.start_timeout_s
        while True:
            with translated(f"ask {one.name}"):
                try:
                    made = self.engine.api.exec_create(one.id, list(of.server.ready))
                    self.engine.api.exec_start(made["Id"])
                    if self.engine.api.exec_inspect(made["Id"])["ExitCode"] == 0:
                        return
                except APIError as exc:
                    if exc.response is None or exc.response.status_code != 409:  # 409: it is starting anew
                        raise
            if why := self._hopeless(one):
                raise self._start_failed(wish, one, why)
            if time.monotonic() > until:
                why = f"took no connection within {blueprint.start_timeout_s:.0f} s"
                raise self._start_failed(wish, one, why)
            time.sleep(0.05)

    def release(
        self, wish: Desired, blueprint: Blueprint, checkout: Checkout, poolers: Sequence[Pooler], data: str
    ) -> None:
        """The release command has ended well. Raises ReleaseFailed with its last lines."""
        assert blueprint.release is not None  # noqa: S101 - the plan has this step only then
        containers.remove(self.engine, self._of(wish, role="release"))
        start = self._start(wish, blueprint, poolers, data)
        start.create([RELEASE])
        start.run(checkout, [RELEASE])
        self.fault("inside release")
        (job,) = self._of(wish, role="release")
        with translated("run the release command"):
            try:
                status = self.engine.api.wait(job.id, timeout=blueprint.release.timeout_s)["StatusCode"]
            except Exception as exc:
                if "Read timed out" not in str(exc):
                    raise
                self.engine.api.kill(job.id)
                status = -1
        if status:
            said = f"ended with status {status}" if status > 0 else f"took over {blueprint.release.timeout_s:.0f} s"
            raise ReleaseFailed(
                f"{wish.namespace}: the release command {said}",
                remedy="mend it and deploy again; the old revision, if any, still serves",
                log=self.log(job, 20),
            )

    def start(
        self, wish: Desired, blueprint: Blueprint, checkout: Checkout, poolers: Sequence[Pooler], data: str
    ) -> None:
        """Every service of the revision runs, in the order that the project gives. Their containers are there."""
        self._start(wish, blueprint, poolers, data).run(checkout)

    def _start(self, wish: Desired, blueprint: Blueprint, poolers: Sequence[Pooler], data: str) -> Start:
        modeller = self._model(wish, blueprint)
        model = modeller.revision_model(self._subnet(wish), poolers, data)
        project = self.names.project(wish.namespace, wish.revision)
        return Start(self.engine, self.names, wish.namespace, project, model, modeller.placed(), self.fault)

    def await_well(self, wish: Desired, blueprint: Blueprint) -> None:
        """Every service of the revision runs and is healthy, every job is done. Raises StartFailed."""
        until = time.monotonic() + blueprint.start_timeout_s
        labels = [f"{LABEL_INSTANCE}={self.names.instance}", f"{LABEL_NAMESPACE}={wish.namespace}"]
        asking, routed = Asking(self.engine), {route.service for route in blueprint.routes}
        with happenings(self.engine, labels) as wait:
            while True:
                mine = [
                    one
                    for one in self._containers(wish.namespace)
                    if one.revision == wish.revision or one.role in ("pinned", "server")
                ]
                asking.look([one for one in mine if one.service in routed])
                ill = [one for one in mine if not (one.well or asking.answered(one)) and one.role != "release"]
                if mine and not ill:
                    return
                for one in ill:
                    if why := self._hopeless(one):
                        raise self._start_failed(wish, one, why)
                if time.monotonic() > until:
                    why = f"was not healthy within {blueprint.start_timeout_s:.0f} s"
                    raise (
                        self._start_failed(wish, ill[0], why)
                        if ill
                        else Retryable(f"{wish.namespace}: its containers are gone", remedy="deploy again")
                    )
                wait(min(asking.pause_s(), until - time.monotonic()))

    def must_stay_up(self, wish: Desired) -> None:
        """Raises StartFailed where a service of the revision ends again and again: nobody need wait for it."""
        for one in self._of(wish, role="service"):
            if not one.well and (why := self._hopeless(one)):
                raise self._start_failed(wish, one, why)

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
            containers.each(lambda one: containers.keep(self.engine, one, "no"), mine)
            containers.stop(self.engine, mine)
            self.fault("inside stop")

    def wake(self, namespace: Namespace) -> None:
        """The containers that `sleep` stopped are started, as they are. Jobs that are done stay done."""
        for roles in (("pinned", "server", "pooler"), ("service",)):
            mine = [one for one in self._containers(namespace) if one.role in roles]
            containers.start(self.engine, [one for one in mine if one.stopped])
            containers.each(lambda one: containers.keep(self.engine, one, "always"), mine)
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

    def _hopeless(self, one: Container) -> str:
        if one.health == "unhealthy":
            return "is unhealthy"
        if one.role == "job" and one.state == "exited":
            return f"ended with status {one.exit_code}"
        with translated(f"look at {one.name}"):
            try:
                found = self.engine.api.inspect_container(one.id)
            except NotFound:
                return ""
        if found["RestartCount"] >= RESTARTS:
            return f"ended {found['RestartCount']} times, the last time with status {found['State']['ExitCode']}"
        return ""

    def _start_failed(self, wish: Desired, one: Container, why: str) -> StartFailed:
        return StartFailed(
            f"{wish.namespace}: service {one.service} {why}",
            remedy="mend it and deploy again; the old revision, if any, still serves",
            log=(*self.log(one, 20), *self._ill(one)),
        )

    def _ill(self, one: Container) -> Iterator[str]:
        """What its last health check said, where that failed: an app's own log may hold nothing of it."""
        with translated(f"look at {one.name}"):
            try:
                state = self.engine.api.inspect_container(one.id)["State"]
            except NotFound:
                return
        checks = (state.get("Health") or {}).get("Log") or ()
        for last in checks[-1:]:
            if last["ExitCode"]:
                said = last["Output"].splitlines()[-5:]
                yield from (f"health check: {line}" for line in said or [f"ended with status {last['ExitCode']}"])

    def _remove_network(self, name: str) -> None:
        """Also when a container that outlives the revision is still a member."""
        with translated(f"leave network {name}"):
            try:
                members = self.engine.api.inspect_network(name)["Containers"] or {}
            except NotFound:
                return
            for member in members:
                with suppress(NotFound):  # it has gone meanwhile, and is no member any more
                    self.engine.api.disconnect_container_from_network(member, name, force=True)
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
