"""The adapters of one Docker host, built from its configuration."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from cx.core.names import Names
from cx.core.reconcile import no_fault
from cx.git import Sources
from cx.process.locks import held, is_held
from cx.process.private import private
from cx.process.turns import Turns
from cx.settings import Settings, masking
from cx.store import Database, Store

if TYPE_CHECKING:
    from cx.data.copies import Copies
    from cx.data.databases import Databases
    from cx.data.shared.clones import PostgresClones
    from cx.data.shared.comparing import Comparing
    from cx.data.shared.goldens import PostgresGoldens
    from cx.data.shared.spares import PostgresSpares
    from cx.data.values import Golden as PostgresGolden
    from cx.data.values import Masks, Server, Source, Terms
    from cx.data.volumes.clones import EngineClones
    from cx.data.volumes.copies import EngineCopies
    from cx.data.volumes.goldens import EngineGoldens
    from cx.data.workbench.values import Said, Spec
    from cx.data.workbench.volumes import Volumes
    from cx.docker.connection import Engine
    from cx.docker.networks import Networks
    from cx.docker.workloads import Workloads
    from cx.host.doctor import Doctor
    from cx.host.refilling import Refilling
    from cx.host.stack import Stack
    from cx.pulls.values import PullId
    from cx.router.certificate import Certificate
    from cx.router.routes import Router
    from cx.settings.databases import Database as DatabaseSettings
    from cx.store.deliveries import Deliveries


@dataclass
class Adapters:
    """Every adapter of one host. Each is made when it is first asked for: a command that needs no engine imports no
    docker."""

    settings: Settings
    fault: Callable[[str], None] = no_fault

    # --- values
    @cached_property
    def names(self) -> Names:
        return Names(self.settings.instance)

    @cached_property
    def state_dir(self) -> Path:
        return private(self.settings.state)

    def lock(self, name: str, why: str, **options: object) -> AbstractContextManager[None]:
        return held(self.state_dir / "locks" / f"{name}.lock", why, **options)  # type: ignore[arg-type]

    def is_locked(self, name: str) -> bool:
        return is_held(self.state_dir / "locks" / f"{name}.lock")

    def _secret(self, name: str) -> str:
        from cx.secret import kept, token

        return kept(self.state_dir / "secrets" / name, token)

    def _certificate(self) -> Certificate:
        from cx.router.certificate import given, own

        router = self.settings.router
        if self.settings.tls == "files" and router.certificate and router.key:
            return given(router.certificate, router.key)
        return own(self.state_dir / "secrets" / "router.pem")

    # --- adapters
    @cached_property
    def store(self) -> Store:
        return Store(self.database)

    @cached_property
    def database(self) -> Database:
        return Database(self.state_dir / "cx.db")

    @cached_property
    def deliveries(self) -> Deliveries:
        from cx.store.deliveries import Deliveries

        return Deliveries(self.database)

    @cached_property
    def sources(self) -> Sources:
        return Sources(self.state_dir)

    @cached_property
    def engine(self) -> Engine:
        from cx.docker.connection import Engine

        return Engine()

    def become_docker(self, *argv: str) -> NoReturn:
        """This process is `docker` with `argv`, which talks to the same engine."""
        from cx.docker.compose import become

        become(*argv)

    @cached_property
    def networks(self) -> Networks:
        from cx.docker.networks import Networks

        pool = ipaddress.IPv4Network(self.settings.network.pool)
        return Networks(self.engine, pool, lambda: self.lock("subnets", "choose a subnet", wait_s=60))

    @property
    def build_turns(self) -> Turns:
        """Of every process of this host's that builds."""
        return Turns(self.state_dir / "locks" / "builds")

    @cached_property
    def workloads(self) -> Workloads:
        from cx.docker.model import Limits
        from cx.docker.workloads import Workloads

        limits = self.settings.limits
        return Workloads(
            self.engine,
            self.names,
            self.networks,
            Limits(limits.memory, limits.cpus, limits.pids, limits.log_size, limits.log_files),
            self.settings.pooler.image,
            limits.build_timeout_s,
            self._secret("builds"),
            self.build_turns,
            self.fault,
        )

    @cached_property
    def router(self) -> Router:
        from cx.router.routes import Router

        tls = self.settings.tls
        bind = self.settings.router.bind
        return Router(
            self.engine,
            self.names,
            address="127.0.0.1" if bind in ("0.0.0.0", "") else bind,  # noqa: S104 - compared, not bound
            port=self.settings.http_port if tls == "off" else self.settings.https_port,
            tls=tls != "off",
            resolver="acme" if tls == "acme" else "",
        )

    @cached_property
    def stack(self) -> Stack:
        from cx.host.stack import Stack

        password, build_key = self._secret("postgres"), self._secret("builds")
        return Stack(
            self.engine,
            self.names,
            self.networks,
            self.settings,
            password,
            build_key,
            self.build_turns,
            self._certificate,
            self.fault,
        )

    @cached_property
    def doctor(self) -> Doctor:
        from cx.host.doctor import Doctor

        return Doctor(
            self.engine, self.networks, self.stack, self.settings, self.server, self.refilling.last, self._troubled
        )

    def _troubled(self) -> Mapping[PullId, str]:
        from cx.store.deliveries import Deliveries

        return Deliveries(self.database).troubled()

    @cached_property
    def server(self) -> Server:
        from cx.data.values import Server
        from cx.docker.networks import server_address

        address = server_address(self.networks.pool)
        return Server(address, 5432, self._secret("postgres"), fault=lambda: self.stack.server_fault())

    @cached_property
    def clones(self) -> PostgresClones:
        from cx.data.shared.clones import PostgresClones

        return PostgresClones(self.server, self.names, self._secret("clones").encode(), checkpoint=self.fault)

    @cached_property
    def databases(self) -> Databases:
        from cx.data.databases import Databases

        key = self._secret("clones").encode()
        return Databases(self.clones, self.terms, key, self.settings.pooler.mode, self.engine_clones, self._is_lost)

    def _is_lost(self) -> bool:
        return self.stack.is_lost()

    # Clones that are volumes: a server for each preview, or a volume of the project's.
    @cached_property
    def volumes(self) -> Volumes:
        from cx.data.workbench.volumes import Volumes

        return Volumes(self.engine, self.names, self.settings.volumes_path)

    @cached_property
    def engine_clones(self) -> EngineClones:
        from cx.data.volumes.clones import EngineClones

        return EngineClones(self.volumes, self.specs, self._secret("clones").encode(), self.fault)

    def copies(self, source: str) -> Copies:
        """Who keeps, hands on and shows the data of the clones of `source`. Raises NotFound."""
        from cx.core.errors import NotFound
        from cx.data.copies import SharedCopies

        if source in self.specs:
            return self.engine_copies
        if source not in self.terms:
            raise NotFound(f"database {source} is not in the host configuration", remedy=f"add [databases.{source}]")
        return SharedCopies(self.clones, self.spares, self.comparing, self.engine, self.names, self.terms[source])

    @cached_property
    def engine_copies(self) -> EngineCopies:
        from cx.data.volumes.copies import EngineCopies

        return EngineCopies(self.engine_clones, lambda namespace, why: self.lock(namespace.name, why, wait_s=60))

    @cached_property
    def engine_goldens(self) -> EngineGoldens:
        from cx.data.volumes.goldens import EngineGoldens

        def lock(source: str) -> AbstractContextManager[None]:
            return self.lock(f"refresh-{source}", f"refresh {source}", wait_s=0)

        return EngineGoldens(self.volumes, self.names, lock, self._refresh_on, self.fault)

    def _refresh_on(
        self, server: Server, source: Source, *, image: str, progress: Said, checkpoint: Said
    ) -> PostgresGolden:
        from cx.data.shared.goldens import PostgresGoldens  # which every other command does without

        goldens = PostgresGoldens(server, self.names, self.engine.client, image, checkpoint=checkpoint)
        return goldens.refresh(source, progress=progress)

    def masks(self, given: DatabaseSettings) -> Masks | None:
        """The rules for a source's rows, where there are any."""
        from cx.data.values import Masks

        if not given.mask and not given.rows:
            return None
        columns, rows = masking.masked(given.mask), masking.rows(given.rows)
        return Masks(columns, rows, self._secret("masking").encode(), given.large_objects)

    @property
    def specs(self) -> dict[str, Spec]:
        """The sources whose clones are volumes."""
        from cx.data.workbench.values import Spec

        server = self.settings.postgres
        return {
            name: Spec(
                name,
                given.facts,
                given.way,
                given.image or given.facts.image,
                given.memory or given.facts.memory,
                given.source.reveal() if given.source else None,
                Path(given.file) if given.file else None,
                Path(given.sanitise) if given.sanitise else None,
                tuple(given.extensions),
                given.jobs,
                server.connection_limit,
                server.statement_timeout_s,
                given.max_age_h * 3600 if given.when_older == "refuse" else 0,
                given.database or "",
                tuple(given.preload),
                given.superuser,
                tuple(given.fill),
                given.target,
                self.masks(given),
                tuple(given.command),
                given.command_image or "",
            )
            for name, given in self.settings.databases.items()
            if given.way != "pooler"
        }

    @property
    def terms(self) -> dict[str, Terms]:
        """What holds for the clones of each source."""
        from cx.data.values import Terms

        server = self.settings.postgres
        return {
            name: Terms(
                server.connection_limit,
                server.statement_timeout_s,
                "" if given.strategy == "auto" else given.strategy,
                given.max_age_h * 3600 if given.when_older == "refuse" else 0,
                server.spares if given.spares is None else given.spares,
            )
            for name, given in self.settings.databases.items()
            if given.way == "pooler"
        }

    @cached_property
    def spares(self) -> PostgresSpares:
        from cx.data.shared.spares import PostgresSpares

        return PostgresSpares(self.server, self.names, checkpoint=self.fault)

    @cached_property
    def refilling(self) -> Refilling:
        from cx.host.refilling import Refilling
        from cx.store.chores import Chores

        chores = Chores(self.database)
        return Refilling(chores, self.lock, self.is_locked, lambda: self.terms, lambda: self.spares)

    @property
    def comparing(self) -> Comparing:
        from cx.data.shared.comparing import Comparing

        return Comparing(self.engine.client, f"{self.names.instance}-postgres", self.server)

    @cached_property
    def goldens(self) -> PostgresGoldens:
        from cx.data.shared.goldens import PostgresGoldens

        return PostgresGoldens(
            self.server, self.names, self.engine.client, self.settings.postgres.image, checkpoint=self.fault
        )

    def close(self) -> None:
        if "database" in self.__dict__:
            self.database.close()
        if "engine" in self.__dict__:
            self.engine.close()
