"""A folder is deployed over what is somebody else's: only where that is said, and its pull request is told."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from following import SHOP, pr

from cx.core.errors import Busy, Owned
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.previews import Wanted
from cx.core.state import Desired
from cx.git.sources import Sources
from cx.host import Host
from cx.host.previews import LocalPreviews
from cx.pulls import Known
from cx.settings import load
from cx.store.deliveries import Deliveries
from cx.store.pulls import PullsTable

NAME = Namespace("preview-7")
PULL = Origin.pulls_of(SHOP)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Pull request 7 has a preview."""
    (tmp_path / "host.toml").write_text(f'state_dir = "{tmp_path / "state"}"\n[github.repositories."Acme/Shop"]\n')
    host = Host(load(tmp_path / "host.toml", {}))
    PullsTable(host.database).keep(Known(pr(7), NAME))
    (tmp_path / "before").mkdir()
    before = host.read_source(tmp_path / "before")
    host.sources.keep(NAME, before)
    host.store.want(Desired(NAME, project=before.project, origin=PULL, tree=before.tree), 1.0)
    return host


def refs(sources: Sources, project: str) -> str:
    return sources._git(sources.mirror(project), "for-each-ref", "--format=%(refname)", "refs/cx").strip()


def test_who_takes_over_says_so_and_the_pull_request_is_told(host, tmp_path, monkeypatch):
    local, folder, box = LocalPreviews(host), tmp_path / "shop", Deliveries(host.database)
    folder.mkdir()
    source, before = host.read_source(folder), host.store.desired(NAME)
    with pytest.raises(Owned):
        local.deploy(NAME, source, Wanted(), None)
    assert (host.store.desired(NAME), box.waiting()) == (before, [])
    assert refs(host.sources, source.project) == ""
    monkeypatch.setattr(host, "read_blueprint", lambda wish: None)
    with host.lock(NAME.name, "hold it"):  # it comes no further than to its wish
        monkeypatch.setattr(host, "settle", partial(host.settle, wait_s=0))
        with pytest.raises(Busy):
            local.deploy(NAME, source, Wanted(take_over=True), None)
    assert host.store.desired(NAME).origin == Origin.folder(folder)
    assert (refs(host.sources, source.project), refs(host.sources, before.project)) == ("refs/cx/preview-7", "")
    assert (box.waiting(), box.unanswered(pr(7))) == ([pr(7)], [])
