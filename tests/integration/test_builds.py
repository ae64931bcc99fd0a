"""Builds of several previews on one engine: what one of them leaves behind, or names, is not another's."""

from __future__ import annotations

import secrets
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest
from live import HERE, Cx, Project

from cx.core.names import LABEL_BUILD, LABEL_INSTANCE

CACHED = """FROM python:3.13-slim
ARG ROUND
RUN --mount=type=cache,id=dependencies,target=/cache \\
    cat /cache/from > /srv/found; printf %s "$ROUND" > /cache/from
COPY app.py /srv/app.py
EXPOSE 8000
CMD ["python", "/srv/app.py"]
"""


def found_in_cache(cx: Cx, preview: Callable[[], str], project: Project, made_by: str) -> str:
    """What a build finds in its cache mount, where it leaves `made_by`."""
    name = preview()
    project.write("Dockerfile", CACHED.replace("ARG ROUND", f"ARG ROUND={made_by}"))
    cx("deploy", project.folder, "--namespace", name)
    return cx("exec", name, "app", "--", "cat", "/srv/found").stdout


def test_a_cache_mount_is_shared_by_the_builds_of_one_project_alone(
    cx: Cx, preview: Callable[[], str], hello: Project, tmp_path: Path
) -> None:
    """Also where a layer that was made with a poisoned one would be found again: same Dockerfile, same files."""
    other = Project(tmp_path / "other", HERE / "projects" / "hello")
    run = secrets.token_hex(4)
    assert found_in_cache(cx, preview, hello, f"{run}-poison") == ""
    assert found_in_cache(cx, preview, hello, f"{run}-victim") == f"{run}-poison"
    assert found_in_cache(cx, preview, other, f"{run}-victim") == ""
    assert found_in_cache(cx, preview, other, f"{run}-next") == f"{run}-victim"


def test_a_build_is_told_no_name_of_caches_by_its_project(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    hello.write("cx.toml", '[services.app.build]\nargs = { BUILDKIT_CACHE_MOUNT_NS = "another" }\n')
    done = cx("deploy", hello.folder, "--namespace", name, check=False)
    assert "build.args.BUILDKIT_CACHE_MOUNT_NS: steers the builder itself" in done.stderr


WAYS = {
    "FROM": "FROM {image}",
    "FROM, by the name of the registry": "FROM index.docker.io/{image}",
    "FROM, by an argument": "ARG A={instance}\nFROM $A/{rest}",
    "COPY": "FROM python:3.13-slim\nCOPY --from={image} /srv/app.py /srv/theirs.py",
    "RUN": "FROM python:3.13-slim\nRUN --mount=from={image},target=/theirs cat /theirs/srv/app.py",
    "as the frontend": "# syntax={image}\nFROM python:3.13-slim",
}


@pytest.fixture(scope="module")
def theirs(cx: Cx, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of another preview."""
    project = Project(tmp_path_factory.mktemp("theirs") / "hello", HERE / "projects" / "hello")
    cx("deploy", project.folder, "--namespace", "preview-theirs")
    (image,) = cx.observe("preview-theirs").images
    yield image
    cx("delete", "--namespace", "preview-theirs", "--force")


@pytest.mark.parametrize("way", WAYS)
def test_a_build_takes_in_no_image_of_another_preview(
    cx: Cx, preview: Callable[[], str], hello: Project, theirs: str, way: str
) -> None:
    rest = theirs.removeprefix(f"{cx.instance}/")
    hello.write("Dockerfile", WAYS[way].format(image=theirs, instance=cx.instance, rest=rest) + "\nEXPOSE 8000\n")
    done = cx("deploy", hello.folder, "--namespace", preview(), check=False)
    assert done.returncode == 1
    assert f"may not take in docker-image://docker.io/{theirs}" in done.stderr


@pytest.fixture
def local() -> Iterator[tuple[int, list[str]]]:
    """A server that listens on the host's own 127.0.0.1 only: its port, and what it was asked for."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"secret of the host")

        def log_message(self, text: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], asked
    server.shutdown()
    server.server_close()


def test_the_engine_fetches_nothing_for_a_build_from_the_hosts_own_network(
    cx: Cx, preview: Callable[[], str], hello: Project, local: tuple[int, list[str]]
) -> None:
    port, asked = local
    name = preview()
    for url in (f"http://127.0.0.1:{port}/metrics", f"http://{socket.gethostname()}:{port}/x.git"):
        hello.write("Dockerfile", f"FROM python:3.13-slim\nADD {url} /srv/stolen\nEXPOSE 8000\n")
        done = cx("deploy", hello.folder, "--namespace", name, check=False)
        assert done.returncode == 1
        assert "may not take in" in done.stderr
        assert "let RUN fetch it" in done.stderr
    assert asked == []


def test_an_image_with_our_labels_is_not_taken_for_a_build_of_ours(
    cx: Cx, preview: Callable[[], str], hello: Project, tmp_path: Path
) -> None:
    """Whoever knows a project's files knows the digest of its next build, and may have images of any label pulled."""
    first, second = preview(), preview()
    cx("deploy", hello.folder, "--namespace", first)
    (image,) = cx.observe(first).images
    cx("delete", "--namespace", first, "--force")
    forged = tmp_path / "forged"
    shutil.copytree(hello.folder, forged, ignore=shutil.ignore_patterns(".git"))
    (forged / "app.py").write_text((forged / "app.py").read_text().replace('"one"', '"forged"'))
    client = docker.from_env()
    labels = {LABEL_INSTANCE: cx.instance, LABEL_BUILD: image.rpartition(":")[2]}
    made, _ = client.images.build(path=str(forged), tag=f"forged-{cx.instance}:1", labels=labels)
    try:
        cx("deploy", hello.folder, "--namespace", second)
        assert cx.get(second).split() == ["one"]
    finally:
        client.images.remove(made.id, force=True)
        client.close()
