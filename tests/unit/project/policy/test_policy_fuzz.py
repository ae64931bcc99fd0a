"""Whatever a model holds: an error of ours, or nothing in it that is not on the list."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from policy_list import allowed

from cx.core.errors import CxError
from cx.project.policy import Caps, Grants, Look, admit, screen
from cx.project.policy.builds import DROPPED, REFUSED, TAKEN
from cx.project.policy.table import DEPLOY, NETWORK, SERVICE, TOP, VOLUME
from examples import examples

ROOT = Path(tempfile.mkdtemp(prefix="cx-fuzz-"))
(ROOT / "app").mkdir()
(ROOT / "Dockerfile").write_text("FROM scratch")
(ROOT / "out").symlink_to("/etc")

words = st.sampled_from(
    [
        *("host", "privileged", "/", "/etc", "..", "out", "app", ".", "default", "cx/x/y", "nginx:1", "ALL", "KILL"),
        *("512m", "10s", "0", "-1", "web", "db", "service:db", "container:x", "dev.cx.role", "a\0b", "$X", "/run:suid"),
        *("no-new-privileges:true", "seccomp:unconfined", "docker.sock", "/var/run/docker.sock", "volume", "bind"),
        *("CMD", "CMD-SHELL", "1.5", "x=y", "replicated", "local", "80", "80/tcp", "service_started", ""),
    ]
)
keys = st.sampled_from(
    sorted(
        {*SERVICE, *DEPLOY, *VOLUME, *NETWORK, *TAKEN, *DROPPED, *REFUSED}
        | {"type", "source", "target", "read_only", "bind", "volume", "tmpfs", "subpath", "nocopy", "size", "mode"}
        | {"propagation", "limits", "reservations", "memory", "cpus", "pids", "test", "interval", "aliases", "soft"}
        | {"hard", "nofile", "condition", "required", "web", "db", "x-a", "surprise", "create_host_path"}
    )
)
scalars = st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats() | words | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | words, inner, max_size=4),
    max_leaves=12,
)
mounts = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["volume", "bind", "tmpfs", "image"]), "target": words | st.just("/x")},
        optional={
            "source": words,
            "bind": values,
            "volume": values,
            "tmpfs": values,
            "read_only": scalars,
            "x": scalars,
        },
    ),
    max_size=3,
)
# One key at a time is wild, so that there is something to let through.
services = st.dictionaries(st.sampled_from(sorted(SERVICE)), values, max_size=2).flatmap(
    lambda wild: st.fixed_dictionaries({"image": st.just("nginx:1")}, optional={"volumes": mounts}).map(
        lambda tame: tame | wild
    )
)
models = st.fixed_dictionaries(
    {"services": st.dictionaries(st.sampled_from(["web", "db", "x"]), services, min_size=1, max_size=2)},
    optional={key: values for key in TOP if key != "services"},
)


def look(*allow: str) -> Look:
    return Look(ROOT, "cx", Grants.of(allow), Caps())


@examples(400)
@given(models | st.dictionaries(keys, values))
def test_whatever_it_holds_nothing_comes_out_that_is_not_on_the_list(model):
    with contextlib.suppress(CxError):
        admission = admit(model, look(), "compose.yml")
        for one in admission.services.values():
            assert allowed(one.model) == []
        json.dumps([one.model for one in admission.services.values()])


@examples(100)
@given(models | st.dictionaries(keys, values))
def test_whatever_it_holds_the_first_look_ends_well(model):
    with contextlib.suppress(CxError):
        screen(model, look("env_file"), "compose.yml")


@examples(100)
@given(st.sampled_from(sorted(SERVICE)), values)
def test_no_single_key_breaks_it(key, value):
    with contextlib.suppress(CxError):
        admit({"services": {"web": {"image": "nginx:1", key: value}}}, look(), "compose.yml")


def test_the_list_finds_what_is_wrong():
    """The check above can fail."""
    mount = {"type": "volume", "target": "/x", "source": ""}
    for model in (
        {"privileged": True},
        {"image": "x", "volumes": [{"type": "bind", "source": "/", "target": "/x"}]},
        {"image": "x", "volumes": [mount | {"volume": {"subpath": "../x"}}]},
        {"image": "x", "mem_limit": 10**12},
        {"image": "cx/other/app:1"},
        {"image": "x", "cap_add": ["SYS_ADMIN"]},
        {"image": "x", "deploy": {"replicas": 99}},
    ):
        assert allowed(model) != []
