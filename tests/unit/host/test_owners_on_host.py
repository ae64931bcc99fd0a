"""Whoever deploys to a host gets a namespace of his own, or is told whose it is; the host's owner may do anything, and
the pull request is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from following import SHOP, pr

from cx.core.errors import NotFound, Owned
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.source import Source
from cx.core.state import Desired
from cx.host import Host
from cx.host.following import HostPreviews
from cx.host.previews import LocalPreviews, ServedPreviews
from cx.pulls import Known, Order
from cx.pulls.commands import Verb
from cx.settings import load
from cx.store.deliveries import Deliveries
from cx.store.pulls import PullsTable

NAME = Namespace("preview-7")
FOLDER, PULL, UPLOAD = Origin.folder("/srv/shop"), Origin.pulls_of(SHOP), Origin.upload(NAME)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Nothing here asks an engine: what is refused is refused before."""
    (tmp_path / "host.toml").write_text(f'state_dir = "{tmp_path / "state"}"\n[github.repositories."Acme/Shop"]\n')
    return Host(load(tmp_path / "host.toml", {}))


def owned(host: Host, origin: Origin) -> Desired:
    wish = Desired(NAME, project="theirs", origin=origin, commit="c" * 40, tree="d" * 40)
    host.store.want(wish, 1.0)
    return wish


def want(host: Host, origin: Origin) -> None:
    host.want(NAME, Source("mine", origin, "", "a" * 40, False), environment="preview", values={}, reset_data=False)


@pytest.mark.parametrize("second", [FOLDER, PULL, UPLOAD], ids=str)
@pytest.mark.parametrize("first", [FOLDER, PULL, UPLOAD], ids=str)
def test_a_deployment_from_elsewhere_is_refused_before_anything_is_read(host, first, second):
    wish = owned(host, first)
    if first != second:
        with pytest.raises(Owned):
            want(host, second)
        assert host.store.desired(NAME) == wish
        assert not (host.state_dir / "git").exists()


def test_a_pass_is_not_made_for_who_does_not_own_it_any_more(host):
    """Between the wish and the lock somebody else may have come."""
    owned(host, FOLDER)
    with pytest.raises(Owned):
        host.settle(NAME, None, "deploy", by=PULL)


def test_the_api_throws_nothing_away_that_was_not_uploaded(host, tmp_path):
    served = ServedPreviews(host, {})
    for origin in (FOLDER, PULL):
        wish = owned(host, origin)
        with pytest.raises(Owned):
            served.delete(NAME, None)
        with pytest.raises(Owned):
            served.receive(tmp_path / "bundle", NAME)
        assert host.store.desired(NAME) == wish
        host.store.want_absent(NAME, 2.0)
        host.store.forget(NAME)
    assert served.acting(NAME) == UPLOAD  # reset and delete, by the store's own rule
    assert LocalPreviews(host).acting(NAME) is None


def test_of_what_is_somebody_elses_a_pull_request_sees_nothing(host):
    owned(host, FOLDER)
    previews = HostPreviews(host)
    order = Order(NAME, "deploy", origin=PULL, commit="c" * 40)
    standing = previews.standing(order)
    assert (standing.ready, standing.serving, standing.services, standing.databases) == (False, "", (), ())
    assert previews.taken(NAME, PULL)
    assert not previews.over(NAME, "c" * 40, PULL)
    for ask in (lambda: previews.extend(NAME, 60, PULL), lambda: previews.log(NAME, "app", PULL)):
        with pytest.raises(NotFound, match=r"^preview-7 is not this pull request's$"):
            ask()
    with pytest.raises(Owned):
        previews.want_absent(NAME, PULL)
    assert host.store.desired(NAME).expires_at is None


def commands(host: Host) -> list[Verb]:
    return [one.verb for one in Deliveries(host.database).unanswered(pr(7))]


def known(host: Host) -> None:
    PullsTable(host.database).keep(Known(pr(7), NAME))


def test_what_the_hosts_owner_deletes_is_told_to_its_pull_request(host):
    known(host)
    owned(host, PULL)
    host.want_absent(NAME)
    assert not host.store.desired(NAME).present
    assert commands(host) == [Verb.DELETE]
    assert Deliveries(host.database).waiting() == [pr(7)]
    host.want_absent(NAME, PULL)  # what the pull request does itself is no news to it
    assert commands(host) == [Verb.DELETE]


@pytest.mark.parametrize("origin", [FOLDER, UPLOAD, Origin.pulls_of("acme/gone")], ids=str)
def test_what_is_no_followed_pull_requests_is_told_to_nobody(host, origin):
    known(host)
    owned(host, origin)
    host.want_absent(NAME)
    assert commands(host) == []
    assert Deliveries(host.database).waiting() == []
