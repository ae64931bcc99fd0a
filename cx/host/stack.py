"""The host's own stack: the router and the database server, from `compose/`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from docker.errors import ImageNotFound, NotFound

from cx.core.errors import Retryable, Terminal
from cx.core.names import Names
from cx.core.sizes import size_bytes
from cx.docker.bake import Scope, Target, bake, source_policy
from cx.docker.compose import CommandFailed, environment, plugin, run
from cx.docker.connection import Engine, translated
from cx.docker.data_network import DataNetwork
from cx.docker.model import escaped
from cx.docker.networks import Networks, server_address
from cx.host.ports import taken
from cx.process.turns import Turns
from cx.resources import folder, template
from cx.router.certificate import Certificate
from cx.settings import Settings

TIMEOUT_S = 900
READY_S = 90


@dataclass(frozen=True)
class Part:
    """One container of the stack; `state` as in Docker, with its health behind it where it runs, or "missing".

    `error` is why the engine could not start it.
    """

    name: str
    state: str
    error: str = ""

    @property
    def well(self) -> bool:
        return self.state in ("running", "running (healthy)")

    @property
    def runs(self) -> bool:
        return self.state.startswith("running")

    def __str__(self) -> str:
        return f"{self.state}: {self.error}" if self.error else self.state


@dataclass(frozen=True)
class Stack:
    engine: Engine
    names: Names
    networks: Networks
    settings: Settings
    password: str
    build_key: str
    turns: Turns
    certificate: Callable[[], Certificate]  # made when it is needed
    fault: Callable[[str], None] = lambda _: None

    @property
    def data_network(self) -> DataNetwork:
        return DataNetwork(self.names, self.networks, f"{self.names.instance}-postgres", self.fault)

    def up(self, say: Callable[[str], None]) -> None:
        """The stack runs as the settings say, and answers. Safe to repeat."""
        self._check_ports()
        self._check_place()
        self.ensure_image(self.settings.pooler.image, "pgbouncer", say)
        if self.settings.postgres.volume_size:
            self.ensure_image(self.settings.postgres.volume_image, "volume", say)
        self.data_network.lay(say)
        say("start the router and the database server")
        self._compose(["up", "--detach", "--remove-orphans", "--quiet-pull"], say)
        self._await(say)

    def down(self, *, volumes: bool, say: Callable[[str], None]) -> None:
        """The stack's containers are gone; its data too, when `volumes`.

        Its network goes with them, unless poolers of namespaces that still run are members of it.
        """
        self._compose(["down", "--timeout", "60", *(["--volumes"] if volumes else [])], say)
        self._leave_place(say, volumes=volumes)
        self.data_network.leave()

    def is_lost(self) -> bool:
        """The database server and its data are known to be gone, as after `cx down --volumes`. A folder of the engine's
        host is not seen from here."""
        if self.settings.postgres_path:
            return False
        with translated("look at the database server's data"):
            try:
                self.engine.api.inspect_container(f"{self.names.instance}-postgres")
            except NotFound:
                kept = f"{self.names.instance}_postgres"
                return not self.engine.api.volumes(filters={"name": f"^{kept}$"})["Volumes"]
        return False

    def parts(self) -> list[Part]:
        own = ("volume",) if self.settings.postgres.volume_size else ()
        return [self.part(name) for name in ("router", *own, "postgres")]

    def part(self, name: str) -> Part:
        with translated("look at the stack"):
            try:
                state = self.engine.api.inspect_container(f"{self.names.instance}-{name}")["State"]
            except NotFound:
                return Part(name, "missing")
        if state["Status"] != "running":  # its health is of when it ran
            return Part(name, state["Status"], state["Error"])
        health = (state.get("Health") or {}).get("Status")
        return Part(name, f"running ({health})" if health else "running")

    def server_fault(self) -> str:
        """Why the database server answers nobody at its address; "" where its container runs."""
        part = self.part("postgres")
        return "" if part.runs else f"the database server does not run ({part})"

    def model(self) -> str:
        """The stack's Compose model, rendered: YAML without any secret."""
        router, limits = self.settings.router, self.settings.limits

        def labels(role: str) -> str:
            return json.dumps(self.names.labels(None, role))

        def content(path: Path | None) -> str:
            return json.dumps(escaped(Path(path).read_text())) if path else ""

        options = {"max-size": limits.log_size, "max-file": str(limits.log_files)}
        tls = self.settings.tls
        return template("stack.yml.j2", "compose").render(
            names=self.names,
            instance=self.names.instance,
            settings=self.settings,
            http_port=self.settings.http_port,
            https_port=self.settings.https_port,
            tls=tls,
            acme_ca=content(router.acme_ca) if tls == "acme" else "",
            certificate=json.dumps(escaped(self.certificate().chain)),
            postgres=content(folder("compose") / "postgres.sh"),
            data_path=self.settings.postgres_path,
            volume_bytes=self._volume_bytes,
            server_address=server_address(self.networks.pool),
            labels=labels,
            logging=json.dumps({"driver": "json-file", "options": options}),
        )

    # --- parts
    def _compose(self, argv: Iterable[str], say: Callable[[str], None]) -> None:
        more = {"CX_POSTGRES_PASSWORD": self.password, "CX_CERTIFICATE_KEY": self.certificate().key}
        command = [*plugin("compose"), "--project-name", self.names.stack(), "--file", "-"]
        command += ["--project-directory", "/", "--progress", "plain", *argv]
        try:
            run(command, stdin=self.model(), timeout_s=TIMEOUT_S, env=environment(**more))
        except CommandFailed as exc:
            raise Terminal(f"the host's stack: {exc.what}", remedy="see `cx doctor`", log=exc.log) from exc

    def _check_ports(self) -> None:
        """A port that somebody else has gives one clear line, before anything is started."""
        if any(part.name == "router" and part.state == "running" for part in self.parts()):
            return
        router = self.settings.router
        ports = [
            (router.bind, "http_port", self.settings.http_port),
            ("127.0.0.1", "admin_port", router.admin_port),
        ]
        if self.settings.tls != "off":
            ports.append((router.bind, "https_port", self.settings.https_port))
        for address, key, port in ports:
            if taken(address, port):
                raise Terminal(
                    f"port {port} (router.{key}) is in use by another program",
                    remedy=f"stop it (`ss -ltnp 'sport = :{port}'` names it), or set router.{key}",
                )

    @property
    def _volume_bytes(self) -> int:
        size = self.settings.postgres.volume_size
        return size_bytes(size) if size else 0

    def _check_place(self) -> None:
        """The server's data lies where the settings say, or there is none yet: it is not left behind unseen."""
        wanted = f"{self.names.instance}_postgres"
        if self.settings.postgres_path:
            wanted = self.settings.postgres_path + ("/mounted" if self._volume_bytes else "")
        with translated("look at the database server's data"):
            try:
                mounts = self.engine.api.inspect_container(f"{self.names.instance}-postgres")["Mounts"]
            except NotFound:
                kept = f"{self.names.instance}_postgres"
                mounts = self.engine.api.volumes(filters={"name": f"^{kept}$"})["Volumes"] or []
                mounts = [{"Name": one["Name"], "Destination": "/var/lib/postgresql"} for one in mounts]
        for one in mounts:
            is_at = one.get("Name") or one.get("Source")
            if one["Destination"] == "/var/lib/postgresql" and is_at != wanted:
                raise Terminal(
                    f"the database server's data is at {is_at}, and is to be at {wanted} (postgres.path, volume_size)",
                    remedy="`cx down --volumes` gives it up; then `cx up`, `cx db refresh`, and deploy again",
                )

    def _leave_place(self, say: Callable[[str], None], *, volumes: bool) -> None:
        if self._volume_bytes:
            self.ensure_image(self.settings.postgres.volume_image, "volume", say)  # an update may have brought another
        with translated("remove the database server's data"):
            if volumes:
                with suppress(NotFound):  # also that of settings of before
                    self.engine.api.remove_volume(f"{self.names.instance}_postgres")
            if not self._volume_bytes:
                return
            path = self.settings.postgres_path
            self.engine.client.containers.run(
                self.settings.postgres.volume_image,
                ["detach", path, *(["remove"] if volumes else [])],
                privileged=True,
                pid_mode="host",
                network_mode="none",
                volumes=[f"{path}:/volume"],
                labels=self.names.labels(None, "volume"),
                remove=True,
            )

    def ensure_image(self, image: str, recipe: str, say: Callable[[str], None]) -> None:
        """The engine has `image`, by the recipe of that name in compose/images where it had it not."""
        with translated(f"look for image {image}"):
            try:
                self.engine.api.inspect_image(image)
                return
            except ImageNotFound:
                pass
        say(f"build {image}")
        context = folder("compose") / "images" / recipe
        target = Target(context, context / "Dockerfile", image, {}, {})
        # Everyone knows the recipe: no project's layers pass for one of its.
        own = "the host's own stack"
        scope, policy = Scope.of(self.build_key, own), source_policy(self.names.instance, fetches=False)
        try:
            with self.turns.turn(own, "cx up", wait_s=TIMEOUT_S, waiting=lambda who: say(f"wait for {who}")) as turn:
                bake(target, scope, policy, turn=turn, timeout_s=TIMEOUT_S)
        except CommandFailed as exc:
            raise Terminal(f"{image} did not build: {exc.what}", log=exc.log) from exc

    def _await(self, say: Callable[[str], None]) -> None:
        until = time.monotonic() + READY_S
        while True:
            ill = [part for part in self.parts() if not part.well]
            if not ill and not taken("127.0.0.1", self.settings.router.admin_port):
                ill = [Part("router", "not listening yet")]
            if not ill:
                return
            if time.monotonic() > until:
                raise Retryable(
                    f"the {ill[0].name} is {ill[0].state} after {READY_S} s",
                    remedy=f"`docker logs {self.names.instance}-{ill[0].name}` says why",
                )
            time.sleep(0.05)
