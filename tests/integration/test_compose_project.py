"""A repository with a compose.yml of its own, unchanged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from live import HERE, Cx, Project


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    return Project(tmp_path / "shop", HERE / "projects" / "shop")


def test_it_runs_with_a_clone_for_its_database(cx: Cx, preview: Callable[[], str], shop: Project) -> None:
    name = preview()
    before = (shop.folder / "compose.yml").read_bytes()
    cx("deploy", shop.folder, "--namespace", name)
    assert (shop.folder / "compose.yml").read_bytes() == before
    assert "first edition" in cx.get(name, service="proxy")
    assert cx.get(name, "/api/", service="proxy") == "1000 customers, 1 hits, superuser False, edition first\n"
    seen = cx.observe(name)
    assert {one.service: one.role for one in seen.containers} == {
        "proxy": "service", "web": "service", "cache": "pinned", "db": "pooler",
    }  # fmt: skip
    assert [one.source for one in seen.clones] == ["app"]
    client = docker.from_env()
    try:
        for one in seen.containers:
            assert not client.api.inspect_container(one.id)["HostConfig"]["PortBindings"]
            assert "shop-proxy" not in one.name
    finally:
        client.close()

    # Again, with another page and another image: what keeps its state in a volume runs on, with its state.
    (cache,) = [one.id for one in seen.containers if one.service == "cache"]
    shop.replace("site/index.html", "first", "second")
    shop.replace("compose.yml", "EDITION: first", "EDITION: second")
    cx("deploy", shop.folder, "--namespace", name)
    assert "second edition" in cx.get(name, service="proxy")
    assert cx.get(name, "/api/", service="proxy") == "1000 customers, 2 hits, superuser False, edition second\n"
    assert [one.id for one in cx.observe(name).containers if one.service == "cache"] == [cache]


def test_two_of_them_share_nothing(cx: Cx, preview: Callable[[], str], shop: Project) -> None:
    one, two = preview(), preview()
    cx("deploy", shop.folder, "--namespace", one)
    cx("deploy", shop.folder, "--namespace", two)
    for _ in range(3):
        cx.get(one, "/api/", service="proxy")
    assert " 1 hits" in cx.get(two, "/api/", service="proxy")


def test_a_value_may_hold_any_character(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name, greeting = preview(), "\U0001f642 \\ é $$ '\""
    written = json.dumps(greeting, ensure_ascii=False)
    hello.write("cx.toml", f"[services.app]\nbuild = '.'\nenvironment = {{ GREETING = {written} }}\n")
    cx("deploy", hello.folder, "--namespace", name)
    assert cx.get(name) == f"one {greeting}\n"


def test_its_database_can_stay_a_container(cx: Cx, preview: Callable[[], str], shop: Project) -> None:
    name = preview()
    shop.write("cx.toml", '[databases.app]\nservice = "db"\nmode = "container"\n')
    shop.write("web/web.py", (shop.folder / "web/web.py").read_text().replace("FROM customers", "FROM pg_class"))
    cx("deploy", shop.folder, "--namespace", name)
    assert "superuser True" in cx.get(name, "/api/", service="proxy")
    assert cx.observe(name).clones == ()


REFUSED = {
    "privileged: true": "services.proxy.privileged",
    "cap_add: [SYS_ADMIN]": "services.proxy.cap_add",
    "pid: host": "services.proxy.pid",
    "network_mode: host": "services.proxy.network_mode",
    "devices: ['/dev/kmsg']": "services.proxy.devices",
    "security_opt: ['seccomp:unconfined']": "services.proxy.security_opt",
    "extends: { file: other.yml, service: x }": "services.proxy.extends",
    "env_file: /etc/passwd": "services.proxy.env_file",
    "labels: { dev.cx.namespace: preview-1 }": "services.proxy.labels",
    "volumes: ['/var/run/docker.sock:/x']": "services.proxy.volumes",
    "volumes: ['/:/host']": "services.proxy.volumes",
    "volumes: ['../..:/host']": "services.proxy.volumes",
    "volumes: ['./out:/host']": "services.proxy.volumes",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_would_reach_the_host_is_refused(cx: Cx, preview: Callable[[], str], shop: Project, line: str) -> None:
    name = preview()
    shutil.rmtree(shop.folder / "web")
    if "./out" in line:
        (shop.folder / "in").mkdir()
        (shop.folder / "out").symlink_to("in/../../..")
    shop.write("compose.yml", f"services:\n  proxy:\n    image: nginx:stable\n    ports: [80]\n    {line}\n")
    done = cx("deploy", shop.folder, "--namespace", name, check=False)
    assert done.returncode == 1, done.stderr
    assert REFUSED[line] in done.stderr or "symbolic link" in done.stderr
    assert "Traceback" not in done.stderr
    assert cx.observe(name).leftovers() == []


@pytest.mark.parametrize("asked", ["--network=host", "--security=insecure"])
def test_a_build_gets_no_more_than_builds_get(cx: Cx, preview: Callable[[], str], hello: Project, asked: str) -> None:
    """BuildKit gives either only to who is entitled to it, and cx entitles nobody."""
    name = preview()
    hello.write("Dockerfile", f"FROM python:3.13-slim\nEXPOSE 80\nRUN {asked} cat /proc/net/tcp\n")
    done = cx("deploy", hello.folder, "--namespace", name, check=False)
    assert done.returncode == 1
    assert "network.host is not allowed" in done.stderr or "unknown flag: security" in done.stderr
    assert cx.observe(name).leftovers() == []


def test_no_variable_of_the_host_reaches_a_project(cx: Cx, preview: Callable[[], str], shop: Project) -> None:
    name = preview()
    shop.write(
        "compose.yml",
        "services:\n  proxy:\n    image: nginx:stable\n    ports: [80]\n    environment:\n"
        "      STOLEN: '${CX_TEST_SECRET:-nothing}'\n      HOME_OF_CX: '${HOME:-none}'\n      CX_TEST_SECRET:\n",
    )
    cx("deploy", shop.folder, "--namespace", name, CX_TEST_SECRET="the-host-s-own")
    printed = cx("exec", name, "proxy", "--", "env").stdout
    assert "the-host-s-own" not in printed
    assert "STOLEN=nothing" in printed
    assert "HOME_OF_CX=/nonexistent" in printed
