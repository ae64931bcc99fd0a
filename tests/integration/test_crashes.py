"""kill -9 at every step boundary, and inside the steps; then one pass more: it converges, and nothing is left over.

The points are named where the work is done; CX_TEST_DIE_AT makes the process kill itself at one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
from live import EXAMPLES, HERE, Cx, Project
from walking import opened

STEPS = ("build", "clone", "network and volumes", "release", "start", "trial route", "healthy", "probe", "publish")
BOUNDARIES = [f"{when} {step}" for step in STEPS for when in ("before", "after")]
INSIDE = (
    "inside build",
    "inside network",
    "inside release",
    "inside pooler",
    "after poolers",
    "inside create",
    "after create",
    "clone:role",
    "clone:copied",
    "clone:open",
)
REDEPLOY = [
    *(
        f"{when} {step}"
        for step in ("build", "network and volumes", "start", "trial route", "publish", "retire")
        for when in ("before", "after")
    ),
    "inside build",
    "inside create",
    "after create",
    "inside retire",
    "inside retire, containers gone",
]
DELETE = [
    f"{when} {step}"
    for step in ("withdraw route", "remove", "drop database", "remove image", "forget")
    for when in ("before", "after")
]


@pytest.fixture(scope="module", autouse=True)
def kept(cx: Cx, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A namespace holds each image that most of these tests need: where building is not what dies, nothing is built."""
    folder = tmp_path_factory.mktemp("kept")
    for name, template in (("guestbook", EXAMPLES / "guestbook"), ("hello", HERE / "projects" / "hello")):
        cx("deploy", Project(folder / name, template).folder, "--namespace", f"kept-{name}")
    yield
    for name in ("guestbook", "hello"):
        cx("delete", "--namespace", f"kept-{name}", "--force")


def of_its_own(guestbook: Project, point: str) -> None:
    """Another tree, so that its image is built for it, and goes with it."""
    guestbook.write("point.txt", point)
    guestbook.replace("Dockerfile", "migrate.py ./", "migrate.py point.txt ./")


def died(cx: Cx, point: str, *argv: object) -> None:
    """What it leaves where it is killed is what there was at that moment: nobody else could open any of it."""
    temporary = cx.config.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    done = cx(*argv, check=False, umask=0, CX_TEST_DIE_AT=point, TMPDIR=str(temporary))
    assert done.returncode == -9, (point, done.returncode, done.stdout, done.stderr)
    assert opened(cx.config.parent) == []


def only(cx: Cx, name: str) -> None:
    """One revision, one network of it, one clone, one route: no orphan and nothing twice."""
    seen = cx.observe(name)
    assert len(seen.revisions) == 1, seen.leftovers()
    assert seen.route == seen.revisions[0]
    assert not seen.candidate
    assert [one.role for one in seen.containers].count("service") == 1
    assert len(seen.networks) == 1
    assert len(seen.images) == 1
    assert all(one.complete for one in seen.clones)
    assert seen.checkouts == ()
    assert opened(cx.config.parent) == []


@pytest.mark.parametrize("point", [*BOUNDARIES, *INSIDE])
def test_a_first_deploy_that_was_killed_is_completed_by_the_next(
    cx: Cx, preview: Callable[[], str], guestbook: Project, point: str
) -> None:
    if "build" in point:
        of_its_own(guestbook, point)
    name = preview()
    died(cx, point, "deploy", guestbook.folder, "--namespace", name)
    cx("deploy", guestbook.folder, "--namespace", name)
    assert "1000 customers" in cx.get(name)
    only(cx, name)


@pytest.mark.parametrize("point", REDEPLOY)
def test_a_redeploy_that_was_killed_never_stops_serving(
    cx: Cx, preview: Callable[[], str], hello: Project, point: str
) -> None:
    name = preview()
    cx("deploy", hello.folder, "--namespace", name)
    hello.replace("app.py", '"one"', f'"two {point}"')
    died(cx, point, "deploy", hello.folder, "--namespace", name)
    assert cx.get(name).split()[0] in ("one", "two")
    cx("deploy", hello.folder, "--namespace", name)
    assert cx.get(name).startswith(f"two {point}")
    only(cx, name)


@pytest.mark.parametrize("point", ["reset:cut", "clone:copied", "clone:open", "before release", "after reset"])
def test_a_reset_that_was_killed_gives_fresh_data_once(
    cx: Cx, preview: Callable[[], str], guestbook: Project, point: str
) -> None:
    name = preview()
    cx("deploy", guestbook.folder, "--namespace", name)
    cx.get(name, method="POST", body=urlencode({"author": "a", "note": "vintage"}))
    died(cx, point, "db", "reset", name, "--force")
    cx("deploy", guestbook.folder, "--namespace", name)
    assert "vintage" not in cx.get(name)
    only(cx, name)
    cx.get(name, method="POST", body=urlencode({"author": "a", "note": "brandnew"}))
    cx("deploy", guestbook.folder, "--namespace", name)
    assert "brandnew" in cx.get(name)


@pytest.mark.parametrize("point", DELETE)
def test_a_delete_that_was_killed_is_completed_by_the_next(
    cx: Cx, preview: Callable[[], str], guestbook: Project, point: str
) -> None:
    if "image" in point:
        of_its_own(guestbook, point)
    name = preview()
    cx("deploy", guestbook.folder, "--namespace", name)
    died(cx, point, "delete", "--namespace", name, "--force")
    cx("delete", "--namespace", name, "--force")
    assert cx.observe(name).leftovers() == []
