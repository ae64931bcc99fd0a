"""What the engine's builder has of one project's build, and gives to another's: nothing that others had a say in."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from live import HERE, Cx, Project

from cx import settings as host_settings
from cx.core.blueprint import Build
from cx.core.names import Names, Namespace
from cx.docker.bake import Scope
from cx.docker.build import build
from cx.docker.connection import Engine
from cx.host import Host, stack
from cx.process.turns import Turns

EVIL = "http://evil.invalid"
PROXIES = ("http_proxy", "HTTPS_PROXY", "ftp_proxy", "no_proxy", "aLl_PrOxY")
NEXT = """
COPY app.py /srv/app.py
EXPOSE 8000
CMD ["python", "/srv/app.py"]
"""


def felt(run: str, argument: str = "") -> str:
    """A Dockerfile one of whose layers tells what proxy it was made with."""
    return f"FROM python:3.13-slim\n{argument}RUN : {run}; env | grep -i proxy= | sort > /srv/felt || true{NEXT}"


class Builder:
    """Builds as anybody may who can have the engine build, or as a project's own frontend (`# syntax=`) may ask."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, folder: Path, *args: str) -> str:
        """What is in /srv/felt of the image."""
        image = f"by-hand-{secrets.token_hex(6)}"
        argv = ["docker", "buildx", "build", "--builder=default", "--load", "--provenance=false", "--tag", image]
        argv += [f"--build-arg={one}" for one in args]
        subprocess.run([*argv, str(folder)], check=True, capture_output=True, timeout=120)
        self.made.append(image)
        return content(image, "/srv/felt")


def content(image: str, path: str) -> str:
    reading = ["docker", "run", "--rm", "--network=none", image, "cat", path]
    return subprocess.run(reading, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.fixture
def by_hand() -> Iterator[Builder]:
    builder = Builder()
    yield builder
    client = docker.from_env()
    for image in builder.made:
        client.images.remove(image, force=True)
    client.close()


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_layer_that_a_proxy_made_is_found_by_no_project(
    cx: Cx, preview: Callable[[], str], hello: Project, by_hand: Builder, proxy: str
) -> None:
    """The engine itself takes it for the layer of a build without a proxy: so it is in every step's hostname."""
    run, name = secrets.token_hex(4), preview()
    hello.write("Dockerfile", felt(run))
    assert EVIL in by_hand(hello.folder, f"{proxy}={EVIL}")
    assert EVIL in by_hand(hello.folder)
    cx("deploy", hello.folder, "--namespace", name)
    assert cx("exec", name, "app", "--", "cat", "/srv/felt").stdout == ""


def test_a_layer_of_one_project_is_not_found_by_another(
    cx: Cx, preview: Callable[[], str], hello: Project, by_hand: Builder, tmp_path: Path
) -> None:
    """Which has the same files; another preview of the same project does find it."""
    other = Project(tmp_path / "other", HERE / "projects" / "hello")
    dockerfile = f"FROM python:3.13-slim\nRUN : {secrets.token_hex(4)}; cat /proc/sys/kernel/random/uuid > /srv/made"
    made = []
    for round_, project in enumerate((hello, hello, other)):
        name = preview()
        project.write("Dockerfile", f"{dockerfile}\nARG ROUND={round_}{NEXT}")
        cx("deploy", project.folder, "--namespace", name)
        made.append(cx("exec", name, "app", "--", "cat", "/srv/made").stdout)
    assert made[0] == made[1]
    assert made[1] != made[2]


@pytest.mark.parametrize("proxy", PROXIES)
def test_no_project_names_a_proxy_that_the_cache_does_not_see(
    cx: Cx, preview: Callable[[], str], hello: Project, proxy: str
) -> None:
    hello.write("cx.toml", f'[services.app.build]\nargs = {{ {proxy} = "{EVIL}" }}\n')
    done = cx("deploy", hello.folder, "--namespace", preview(), check=False)
    assert f"build.args.{proxy}: is a proxy that the builder's cache does not see" in done.stderr
    (hello.folder / "cx.toml").unlink()
    args = f"      args:\n        - {proxy}=${{EVIL}}\n"
    compose = f"services:\n  app:\n    build:\n      context: .\n{args}    ports: [8000]\n"
    hello.write("compose.yml", compose)
    hello.write(".env", f"EVIL={EVIL}\n")
    done = cx("deploy", hello.folder, "--namespace", preview(), check=False)
    assert f"build.args.{proxy}: is a proxy that the builder's cache does not see" in done.stderr


@pytest.mark.parametrize("argument", [f"ARG http_proxy={EVIL}\n", f"ENV http_proxy={EVIL}\n"], ids=["ARG", "ENV"])
def test_a_proxy_in_a_dockerfile_is_in_the_cache_s_key(
    cx: Cx, preview: Callable[[], str], hello: Project, argument: str
) -> None:
    run, first, second = secrets.token_hex(4), preview(), preview()
    hello.write("Dockerfile", felt(run, argument))
    cx("deploy", hello.folder, "--namespace", first)
    assert EVIL in cx("exec", first, "app", "--", "cat", "/srv/felt").stdout
    hello.write("Dockerfile", felt(run))
    cx("deploy", hello.folder, "--namespace", second)
    assert cx("exec", second, "app", "--", "cat", "/srv/felt").stdout == ""


def test_a_file_of_one_projects_context_is_not_anothers(cx: Cx, tmp_path: Path) -> None:
    """Folders that are called the same, with a file of the same name, size and time, but for what is in it."""
    engine, names, turns, images = Engine(), Names(cx.instance), Turns(tmp_path / "turns"), list[str]()
    key, run = secrets.token_hex(8), secrets.token_hex(4)

    def made(scope: str, text: str) -> str:
        """What a build of `scope` finds in its file, which says `text`."""
        folder = tmp_path / scope / text / "checkout"
        (folder / "web").mkdir(parents=True)
        (folder / "web" / "Dockerfile").write_text(f"FROM python:3.13-slim\nCOPY {run} /srv/felt\n")
        (folder / "web" / run).write_text(text)
        for one in (folder / "web" / run, folder / "web" / "Dockerfile", folder / "web"):
            os.utime(one, (1.7e9, 1.7e9))
        wanted = Build("app", "web", "web/Dockerfile", digest=secrets.token_hex(8))
        namespace = Namespace("preview-context")
        build(
            engine,
            names,
            namespace,
            wanted,
            lambda: folder,
            scope=Scope.of(key, scope),
            turn=lambda: turns.turn(scope, scope, wait_s=120),
            timeout_s=120,
            line=lambda _: None,
            still_wanted=lambda: None,
        )
        images.append(names.image(namespace, wanted.service, wanted.digest))
        return content(images[-1], "/srv/felt")

    try:
        assert made("attacker", "poison") == "poison"
        assert made("attacker", "victim") == "poison"  # BuildKit does not look at what is in it
        assert made("victim", "victim") == "victim"
    finally:
        for image in images:
            engine.api.remove_image(image, force=True)
        engine.close()


def test_the_host_s_own_images_are_built_apart(
    cx: Cx, by_hand: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody knows what they are made of."""
    recipe = tmp_path / "images" / "pgbouncer"
    recipe.mkdir(parents=True)
    (recipe / "Dockerfile").write_text(felt(secrets.token_hex(4)).replace(NEXT, "\n"))
    assert EVIL in by_hand(recipe, f"http_proxy={EVIL}")
    monkeypatch.setattr(stack, "folder", lambda _: tmp_path)
    image = f"by-hand-{secrets.token_hex(6)}"
    host = Host(host_settings.load(cx.config, {}))
    try:
        host.stack.ensure_image(image, "pgbouncer", lambda _: None)
    finally:
        host.close()
    by_hand.made.append(image)
    assert content(image, "/srv/felt") == ""


TEXTS = {
    "PLAIN": "a word",
    "TEMPLATE": "${HOME} $${HOME} %{if true}x%{endif} $ % {",
    "QUOTES": "\"'\\`",
    "ODD": "ä 🙂 -- --load",
    "EMPTY": "",
    # What would steer buildx, were it in its environment.
    "HOME": "/nowhere",
    "DOCKER_HOST": "tcp://evil.invalid:1",
    "BUILDX_BUILDER": "evil",
    "BUILDX_CONFIG": "/nowhere",
    "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY": "/nowhere",
    "GODEBUG": "netdns=go+2",
    "LD_PRELOAD_X": "/nowhere.so",
}


def test_a_build_argument_is_what_the_project_wrote(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    listed = "\n".join(f"ARG {one}" for one in TEXTS)
    shown = "; ".join(f"printf '%s=%s\\n' {one} \"${one}\"" for one in TEXTS)
    hello.write("Dockerfile", f"FROM python:3.13-slim\n{listed}\nRUN {{ {shown}; }} > /srv/felt{NEXT}")
    args = "".join(f"        {one}: {text_in_yaml(text)}\n" for one, text in TEXTS.items())
    hello.write(
        "compose.yml", f"services:\n  app:\n    build:\n      context: .\n      args:\n{args}    ports: [8000]\n"
    )
    cx("deploy", hello.folder, "--namespace", name)
    felt = cx("exec", name, "app", "--", "cat", "/srv/felt").stdout
    assert felt.splitlines() == [f"{one}={text}" for one, text in TEXTS.items()]


def text_in_yaml(text: str) -> str:
    """Compose has variables of its own, and a way to write that something is none."""
    doubled = text.replace("$", "$$").replace("'", "''")
    return f"'{doubled}'"
