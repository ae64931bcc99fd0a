"""A fork that asks for data is refused before anything is written down. Reading its source takes git and Compose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cx.core.errors import Invalid
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.host import Host
from cx.settings import load

TEXT = """
[databases.app]
source = "postgresql://reader:pro-duc-tion@db/app"
[github.repositories."Acme/Shop"]
"""


OF_ANOTHER = TEXT.replace("[github", 'projects = ["other"]\n[projects.other]\n[github')


@pytest.mark.parametrize(
    ("text", "origin", "why"),
    [
        (TEXT, "fork-of:acme/shop", "is not for forks: this host gives them no data"),
        (OF_ANOTHER, "github:acme/shop", "is not for this project"),
    ],
)
def test_who_asks_for_data_and_gets_none_is_told_why(tmp_path, text, origin, why):
    project = tmp_path / "shop"
    project.mkdir()
    (project / "Dockerfile").write_text("FROM scratch\nEXPOSE 80\n")
    (project / "cx.toml").write_text('[databases.app]\nmode = "clone"\n')
    (tmp_path / "host.toml").write_text(f'state_dir = "{tmp_path / "state"}"\n' + text)
    given = Host(load(tmp_path / "host.toml", {}))
    source = replace(given.read_source(project), origin=Origin.parse(origin))
    with pytest.raises(Invalid, match=why):
        given.want(Namespace("preview-1"), source, environment="preview", values={}, reset_data=False)
    assert given.store.desired(Namespace("preview-1")) is None
