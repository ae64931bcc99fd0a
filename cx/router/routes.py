"""Traefik by its file provider: cx writes a file of routes for each namespace into the router's volume.

The router holds no Docker socket and reads no labels (law 7). Each answer carries the revision that gave
it in X-Cx-Revision, so that cx can tell when a switch has taken effect.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import ssl
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

from docker.errors import APIError, DockerException, NotFound

from cx.core.blueprint import Route
from cx.core.errors import ProbeFailed, Retryable, Terminal
from cx.core.names import Names, Namespace
from cx.core.state import Routed
from cx.docker import output
from cx.docker.connection import Engine, translated
from cx.docker.files import tarred
from cx.docker.held import HeldExec
from cx.resources import template

FOLDER = "/routes"
UNFINISHED = ".part"  # the router reads no file that ends so
HEAD = re.compile(r"# cx: revision=([0-9a-f]*) candidate=([0-9a-f]*)( asleep)?")
POLL_S, POLL_MAX_S = 0.004, 0.1  # the pause before the second time that is asked, and the longest: it grows
LOOK_S = 1.0  # so often it is seen whether there is anything to wait for
NOBODY_BEHIND = (502, 503, 504)  # what the router itself answers where nobody listens


class RouterDown(Retryable):
    pass


@dataclass(frozen=True)
class Published:
    """One way through the router: requests for `host` go to `servers`; a candidate's only with its header."""

    host: str
    servers: tuple[str, ...]
    candidate: bool = False


@dataclass(frozen=True)
class Routes:
    """What a namespace's file says: the revision that serves, the one on trial, all ways; and whether it sleeps:
    then every host of the one that serves answers 503."""

    revision: str = ""
    candidate: str = ""
    ways: tuple[Published, ...] = ()
    asleep: bool = False

    @property
    def routed(self) -> Routed:
        return Routed(self.revision, bool(self.candidate), self.asleep)

    @property
    def hosts(self) -> tuple[str, ...]:
        """What answers, for everyone."""
        return tuple(way.host for way in self.ways if not way.candidate)


@dataclass(frozen=True)
class Router:
    """`address` is where the router listens, seen from cx; `tls` says that hosts are served by HTTPS."""

    engine: Engine
    names: Names
    address: str
    port: int
    tls: bool
    resolver: str = ""
    _held: dict[Namespace, HeldExec] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def container(self) -> str:
        return f"{self.names.instance}-router"

    def observe(self, namespace: Namespace) -> Routes:
        """The routes of the namespace; none when it has no file, or there is no router (volume kept)."""
        with translated("read the routes"):
            try:
                stream, _ = self.engine.api.get_archive(self.container, f"{FOLDER}/{self.names.route_file(namespace)}")
            except NotFound:
                return Routes()
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                member = tar.extractfile(tar.next() or tarfile.TarInfo())
                text = member.read().decode() if member else ""
        return parsed(text)

    def routed(self, namespace: Namespace) -> Routed:
        return self.observe(namespace).routed

    def observe_all(self) -> dict[str, Routes]:
        """The routes of every namespace that has a file of them."""
        prefix = f"{self.names.instance}-"
        found = {}
        with translated("list the routes"):
            try:
                stream, _ = self.engine.api.get_archive(self.container, FOLDER)
            except NotFound:
                return {}
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                for member in tar:
                    name = member.name.rpartition("/")[2]
                    content = tar.extractfile(member)
                    if content and name.startswith(prefix) and name.endswith(".yml"):
                        found[name[len(prefix) : -4]] = parsed(content.read().decode())
        return found

    def offer(self, namespace: Namespace, revision: str, targets: Mapping[str, Sequence[str]]) -> None:
        """The revision answers requests that carry its candidate header; all others go where they went.

        Raises Terminal when another namespace answers at one of the hosts.
        """
        for other, routes in self.observe_all().items():
            for host in set(routes.hosts) & set(targets) if other != namespace.name else ():
                raise Terminal(
                    f"{namespace}: {host} is {other}'s already",
                    remedy="choose another name for the namespace, or a hostname template that keeps them apart",
                )
        now = self.observe(namespace)
        current = tuple(way for way in now.ways if not way.candidate)
        self._write(namespace, replace(now, candidate=revision, ways=current + ways(targets, candidate=True)), now)
        if now.revision:
            self._hold(namespace)

    def publish(self, namespace: Namespace, revision: str, targets: Mapping[str, Sequence[str]]) -> Callable[[], None]:
        """All requests for the hosts in `targets` go to the revision, and no other host is routed.

        Gives a function that puts back what was there before.
        """
        before = self.observe(namespace)
        after = Routes(revision, "", ways(targets))
        self._write(namespace, after, before)
        return lambda: self._write(namespace, before, after)

    def withdraw_candidate(self, namespace: Namespace) -> None:
        """Only what serves is routed; nothing at all, when nothing serves."""
        now = self.observe(namespace)
        if not now.revision:
            self.withdraw(namespace)
        elif now.candidate:
            self._write(namespace, _without_candidate(now), now)

    def rest(self, namespace: Namespace) -> None:
        """Who asks for what serves is told that it sleeps, by 503; nothing is routed, when nothing serves."""
        now = self.observe(namespace)
        if not now.revision:
            self.withdraw(namespace)
        else:
            self._write(namespace, replace(_without_candidate(now), asleep=True), now)

    def withdraw(self, namespace: Namespace) -> None:
        """Nothing of the namespace is routed, and its file is gone. Safe to repeat."""
        self._let_go(namespace)
        name = self.names.route_file(namespace)
        self._run(["rm", "-f", f"{FOLDER}/{name}", f"{FOLDER}/{name}{UNFINISHED}"], missing_is_fine=True)

    def probe(
        self,
        route: Route,
        revision: str,
        *,
        candidate: bool,
        timeout_s: float,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> int:
        """The HTTP status with which `revision` answered at the route's URL, through the router.

        Tries until an answer below 500 comes from that very revision. Raises ProbeFailed after `timeout_s`, and what
        `meanwhile` raises, which is called each second.
        """
        until = time.monotonic() + timeout_s
        look = time.monotonic() + LOOK_S
        last, answered, pause = "no answer", False, POLL_S
        while True:
            try:
                status, by = self._ask(route, revision if candidate else "")
                if by == revision and status < 500:
                    return status
                last = f"status {status}" if by == revision else "the router does not know it yet"
                answered = by == revision and status not in NOBODY_BEHIND
            except (OSError, http.client.HTTPException) as exc:
                last = f"{type(exc).__name__}: {exc}"
            if time.monotonic() > look:
                meanwhile()
                look = time.monotonic() + LOOK_S
            if time.monotonic() > until:
                service = f"[services.{route.service}] in cx.toml"
                raise ProbeFailed(
                    f"{self._url(route.host)}{route.probe_path} did not answer "
                    f"{'well ' if answered else ''}within {timeout_s:.0f} s ({last})",
                    remedy=f"{route.service} says so itself: see its log; healthcheck.path of {service} asks for "
                    "another page"
                    if answered
                    else f"does {route.service} listen on 0.0.0.0:{route.port}? If it serves no web page there, "
                    f"{service} says another port, or route = false",
                )
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_MAX_S)

    def _url(self, host: str) -> str:
        """As a browser would ask for it."""
        scheme, usual = ("https", 443) if self.tls else ("http", 80)
        return f"{scheme}://{host}" + ("" if self.port == usual else f":{self.port}")

    def must_answer(self) -> None:
        """Raises RouterDown where nobody listens at the router's port."""
        try:
            socket.create_connection((self.address, self.port), timeout=5).close()
        except OSError as exc:
            what = f"the router does not answer at {self.address}:{self.port}"
            raise RouterDown(what, remedy="start the host's stack: `cx up`") from exc

    def _ask(self, route: Route, candidate: str) -> tuple[int, str]:
        connection: http.client.HTTPConnection
        if self.tls:
            connection = _Tls(self.address, self.port, route.host, timeout=5)
        else:
            connection = http.client.HTTPConnection(self.address, self.port, timeout=5)
        headers = {"Host": route.host, "User-Agent": "cx-probe", "Connection": "close"}
        if candidate:
            headers["X-Cx-Candidate"] = candidate
        try:
            connection.request("GET", route.probe_path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("X-Cx-Revision", "")
        finally:
            connection.close()

    def _write(self, namespace: Namespace, routes: Routes, before: Routes) -> None:
        """The namespace's file, as a whole, in the place of `before`: the router reloads at each change of its folder,
        and what it found half-written there, or missing for a moment, would be requests that are answered with 404.

        Where nothing serves yet there are none, and the file is put in its place at once. Else it is put beside it
        and renamed, which takes a program in the router's container.
        """
        name = self.names.route_file(namespace)
        text = rendered(name.removesuffix(".yml"), routes, tls=self.tls, resolver=self.resolver).encode()
        if not before.revision:
            self._put(name, text)
            return
        self._put(name + UNFINISHED, text)
        if held := self._held.pop(namespace, None):
            if held.go():
                return
            self._put(name + UNFINISHED, text)  # whether it was renamed is not known
        self._run(self._rename(namespace))

    def _put(self, name: str, text: bytes) -> None:
        with translated("write the routes"):
            try:
                self.engine.api.put_archive(self.container, FOLDER, tarred({name: text}, mode=0o644))
            except NotFound as exc:
                raise self._down() from exc

    def _rename(self, namespace: Namespace) -> list[str]:
        path = f"{FOLDER}/{self.names.route_file(namespace)}"
        return ["mv", path + UNFINISHED, path]

    def _hold(self, namespace: Namespace) -> None:
        """The next renaming is started ahead: that of `publish`, which a user waits for."""
        self._let_go(namespace)
        with suppress(DockerException):  # then it is started when it is needed
            self._held[namespace] = HeldExec(self.engine, self.container, self._rename(namespace))

    def _let_go(self, namespace: Namespace) -> None:
        if held := self._held.pop(namespace, None):
            held.close()

    def _run(self, argv: list[str], *, missing_is_fine: bool = False) -> None:
        """A program in the router's container, which sees the routes' volume."""
        with translated("change the routes"):
            try:
                job = self.engine.api.exec_create(self.container, argv)
                said = self.engine.api.exec_start(job["Id"])
                status = output.status(self.engine, job["Id"], doing="change the routes")
            except NotFound as exc:
                if missing_is_fine:
                    return
                raise self._down() from exc
            except APIError as exc:
                if "is not running" in str(exc.explanation) or "is restarting" in str(exc.explanation):
                    raise self._down() from exc
                raise
        if status:
            raise Retryable(f"the routes could not be changed: {said.decode(errors='replace').strip()}")

    def _down(self) -> RouterDown:
        return RouterDown("the router is not running", remedy="start the host's stack: `cx up`")


class _Tls(http.client.HTTPSConnection):
    """To the router's address, asking for `host`; its certificate may still be on its way."""

    def __init__(self, address: str, port: int, host: str, timeout: float) -> None:
        self._name = host
        super().__init__(address, port, timeout=timeout)

    @cached_property
    def _plain(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._plain.wrap_socket(self.sock, server_hostname=self._name)


def _without_candidate(routes: Routes) -> Routes:
    return replace(routes, candidate="", ways=tuple(way for way in routes.ways if not way.candidate))


def ways(targets: Mapping[str, Sequence[str]], *, candidate: bool = False) -> tuple[Published, ...]:
    return tuple(Published(host, tuple(servers), candidate) for host, servers in sorted(targets.items()))


def rendered(name: str, routes: Routes, *, tls: bool, resolver: str) -> str:
    data = json.dumps([[way.host, list(way.servers), way.candidate] for way in routes.ways])
    body = template("routes.yml.j2").render(
        name=name,
        revision=routes.revision,
        candidate=routes.candidate,
        asleep=routes.asleep,
        routes=routes.ways,
        tls=tls,
        resolver=resolver,
    )
    return f"{body}\n# ways: {data}\n"


def parsed(text: str) -> Routes:
    """The inverse of `rendered`. Of a file that is not whole, only that there is one: as a trial, which is not over."""
    head, last = HEAD.search(text), text.rpartition("# ways: ")[2]
    if not head or not last.endswith("]\n"):
        return Routes(candidate="unfinished")
    found = tuple(Published(host, tuple(servers), candidate) for host, servers, candidate in json.loads(last))
    return Routes(head[1], head[2], found, bool(head[3]))
