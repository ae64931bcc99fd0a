"""Services that outlive revisions, and what they mount of the repository."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from live import Cx, Project

COMPOSE = """
services:
  web:
    build: .
    ports: [8000]
  cache:
    image: redis:8
    command: ["redis-server", "/conf/redis.conf"]
    volumes: ["cache:/data", "./conf:/conf"]
volumes:
  cache:
"""


@pytest.fixture
def kept(hello: Project) -> Project:
    hello.write("compose.yml", COMPOSE)
    hello.write("conf/redis.conf", "protected-mode no\n")
    hello.commit()
    return hello


def test_one_is_made_anew_for_other_files_only(cx: Cx, preview: Callable[[], str], kept: Project) -> None:
    name = preview()

    def cache() -> tuple[str, list[str]]:
        seen = cx.observe(name)
        (found,) = [one.id for one in seen.containers if one.service == "cache"]
        return found, sorted(one for one in seen.volumes if one.endswith("_files"))

    cx("deploy", kept.folder, "--namespace", name)
    first, (files,) = cache()
    kept.replace("app.py", 'VERSION = "one"', 'VERSION = "two"')
    cx("deploy", kept.folder, "--namespace", name)
    assert cx.get(name, service="web").startswith("two")
    assert cache() == (first, [files])
    kept.write("conf/redis.conf", "protected-mode no\nmaxclients 7\n")
    cx("deploy", kept.folder, "--namespace", name)
    second, (others,) = cache()
    assert second != first
    assert others != files
    assert "7" in cx("exec", name, "cache", "--", "redis-cli", "config", "get", "maxclients").stdout


def test_why_a_deploy_failed_is_told_though_they_use_files_of_it(
    cx: Cx, preview: Callable[[], str], kept: Project
) -> None:
    name = preview()
    kept.replace("app.py", 'VERSION = "one"', 'sys.exit("it prints why")')
    done = cx("deploy", kept.folder, "--namespace", name, check=False)
    assert done.returncode == 1
    assert "it prints why" in done.stderr
    assert "in use" not in done.stderr
    seen = cx.observe(name)
    assert seen.containers == ()
    assert sorted(seen.volumes) == [f"{cx.instance}-{name}_cache"]  # the data
    assert not seen.networks

    kept.replace("app.py", 'sys.exit("it prints why")', 'VERSION = "one"')
    cx("deploy", kept.folder, "--namespace", name)
    kept.replace("app.py", 'VERSION = "one"', 'sys.exit("again")')
    kept.write("conf/redis.conf", "protected-mode no\nmaxclients 9\n")
    done = cx("deploy", kept.folder, "--namespace", name, check=False)
    assert "again" in done.stderr
    assert "in use" not in done.stderr
    assert cx.get(name, service="web").startswith("one")
