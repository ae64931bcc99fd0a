"""Every setting of the host configuration, another value of it, and whether that shows in a preview's containers.

A setting that is new has no answer here, and a test fails until somebody has thought about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from cx.core.origin import Origin
from cx.schema import Secret, Wrong
from cx.settings import HostFile, Settings
from cx.settings.databases import Database
from cx.settings.github import GitHub, Repository
from cx.settings.keys import Project, Router

REPOSITORY = "acme/shop"
ORIGIN = Origin.pulls_of(REPOSITORY)
FILE = Path("/srv/a-dump")

# A database of each way, each with an engine of its own.
BASE = Settings(
    router=Router(certificate=FILE, key=FILE),
    databases={
        "pooled": Database(file=FILE),
        "served": Database(engine="mariadb", file=FILE),
        "apart": Database(isolation="server", file=FILE),
        "files": Database(strategy="volume", file=FILE),
    },
    projects={"shop": Project(repository=REPOSITORY), "other": Project(path=Path("/srv/other"))},
    github=GitHub(repositories={REPOSITORY: Repository(), "acme/other": Repository()}),
)

# setting -> (another value, whether it shows). Of databases: for which of those above it shows.
SERVERS = {"served", "apart"}
ANSWERS: Mapping[str, tuple[Any, bool | set[str]]] = {
    "instance": ("other", False),  # another instance has other previews
    "domain": ("example.localhost", True),
    "hostname": ("{service}-{namespace}.{domain}", True),
    "state_dir": (Path("/srv/state"), False),
    "lifetime": ("3d", False),
    "router.image": ("traefik:v4", False),
    "router.bind": ("127.0.0.1", False),
    "router.http_port": (8888, True),
    "router.https_port": (8889, False),  # without TLS no URL holds it
    "router.admin_port": (8890, False),
    "router.tls": ("files", True),
    "router.acme_email": ("me@example.com", False),
    "router.acme_server": ("https://acme.example.com", False),
    "router.acme_ca": (FILE, False),
    "router.certificate": (Path("/srv/another.pem"), False),
    "router.key": (Path("/srv/another.pem"), False),
    "postgres.image": ("postgres:19", False),
    "postgres.max_connections": (501, False),
    "postgres.shared_buffers": ("512MB", False),
    "postgres.memory": ("5g", False),
    "postgres.path": ("/srv/postgres", False),
    "postgres.volume_size": ("60g", False),
    "postgres.volume_image": ("cx/volume:9", False),
    "postgres.connection_limit": (21, True),  # in the pooler's configuration
    "postgres.statement_timeout_s": (601, True),  # in that of a preview's own server
    "postgres.spares": (2, False),
    "pooler.image": ("cx/pgbouncer:9", True),
    "pooler.mode": ("transaction", True),
    "network.pool": ("10.99.0.0/16", False),  # the stack refuses another one while there are previews
    "limits.memory": ("1g", True),
    "limits.cpus": (2.0, True),
    "limits.pids": (512, True),
    "limits.replicas": (4, True),
    "limits.services": (21, False),
    "limits.log_size": ("20m", True),
    "limits.log_files": (4, True),
    "limits.stay_up_s": (4.0, False),
    "limits.start_timeout_s": (121, True),  # so long a health check is asked each second
    "limits.build_timeout_s": (1801, False),
    "volumes.path": ("/srv/volumes", False),
    "listen.host": ("::1", False),
    "listen.port": (3334, False),
    "listen.secrets": ([Secret("0123456789abcdef", {}, "")], False),
    "listen.size_max_kb": (4097, False),
    "api.tokens": ([Secret("0123456789abcdef", {}, "")], False),
    "api.upload_max_mb": (101, False),
    "api.at_once": (3, False),
    "github.repositories.*.labels": ("all", False),
    "github.repositories.*.drafts": (False, False),
    "github.repositories.*.branches": (["main"], False),
    "github.repositories.*.ignore": (["docs/**"], False),
    "github.repositories.*.not_needed": ("none", False),
    "github.repositories.*.forks": ("never", False),
    "github.repositories.*.fork_data": (True, False),  # for a fork it does: see the tests of origins
    "github.repositories.*.name": ("other", False),
    "github.repositories.*.id": (7, False),
    "github.repositories.*.environment": ("staging", False),  # the wish has it itself
    "github.repositories.*.env": ({"A": Secret("b", {}, "")}, False),  # as above
    "github.repositories.*.own_comment": (False, False),
    "github.repositories.*.comment_template": (FILE, False),
    "github.repositories.*.submodules": (["acme/library"], True),
    "github.repositories.*.lfs": (True, True),
    "github.repositories.*.url": ("https://mirror.example.com/shop", False),
    "github.namespace": ("p-{pr}", False),
    "github.base_url": ("https://github.example.com/api/v3", False),
    "github.token": (Secret("x", {}, ""), False),
    "github.app_id": (7, False),
    "github.private_key": (FILE, False),
    "github.comment": (False, False),
    "github.deployments": (False, False),
    "github.status": (False, False),
    "github.at_once": (3, False),
    "github.sync_s": (301, False),
    "github.fetch_timeout_s": (301, False),
    "github.fetch_size_mb": (1025, False),
    "github.fetch_files": (100_001, False),
    "github.allow_local": (True, False),
    "databases.*.engine": ("mysql", SERVERS),
    "databases.*.isolation": ("server", {"pooled"}),
    "databases.*.image": ("example.com/image:9", SERVERS),  # else it is that of the dump tools
    "databases.*.memory": ("640m", SERVERS),
    "databases.*.database": ("orders", {"pooled", *SERVERS}),
    "databases.*.preload": (["pg_stat_statements"], {"apart"}),
    "databases.*.superuser": (True, {"apart"}),
    "databases.*.volume": ("uploads", {"files"}),
    "databases.*.fill": (["true"], set()),
    "databases.*.target": ("/there", set()),
    "databases.*.source": (Secret("postgresql://u:p@h/d", {}, ""), set()),
    "databases.*.file": (Path("/srv/another-dump"), set()),
    "databases.*.sanitise": (FILE, set()),
    "databases.*.mask": ({"t": {"c": "null"}}, set()),
    "databases.*.rows": ({"t": "all"}, set()),
    "databases.*.large_objects": (True, set()),
    "databases.*.command": (["true"], set()),
    "databases.*.command_image": ("example.com/image:9", set()),
    "databases.*.extensions": (["hstore"], set()),
    "databases.*.jobs": (3, set()),
    "databases.*.strategy": ("file_copy", set()),
    "databases.*.spares": (2, set()),
    "databases.*.refresh_every_h": (24, set()),
    "databases.*.max_age_h": (24, set()),
    "databases.*.when_older": ("refuse", set()),
    "databases.*.projects": (["shop"], set()),  # who may have it: see the tests of origins
    "databases.*.env": ({"ORDERS_URL": "url"}, {"pooled", *SERVERS}),
    "projects.*.allow": (["memory:100g", "cpus:64", "pids:90000", "replicas:40"], True),
    "projects.*.path": (Path("/srv/shop"), False),  # whose grants these are: see the tests of origins
    "projects.*.repository": (None, False),
}


def settings(struct: type[Struct] = HostFile, at: str = "") -> Iterator[str]:
    """Every setting that there is."""
    for field in msgspec.structs.fields(struct):
        key = f"{at}.{field.name}".removeprefix(".")
        kinds = [field.type, *get_args(field.type)]
        inner = next((one for one in kinds if isinstance(one, type) and issubclass(one, Struct)), None)
        if inner is None:
            yield key
        else:
            yield from settings(inner, key if inner is field.type else f"{key}.*")


def may_have(name: str, key: str, value: Any) -> bool:
    """Whether the database `name` may have that value: else no configuration with it is ever loaded."""
    given = BASE.databases[name]
    fields = {one: getattr(given, one) for one in given.__struct_fields__} | {key.rpartition(".")[2]: value}
    if fields["source"]:
        fields["file"] = None
    try:
        Database(**fields)
    except Wrong:
        return False
    return True


def changed(given: Settings, key: str, name: str, value: Any) -> Settings:
    """`given` with another value of `key`, in which `name` stands for the star. No rule of it is asked."""
    return _put(given, key.replace("*", name.replace(".", "\0")).split("."), value)


def _put(given: Any, path: list[str], value: Any) -> Any:
    first, rest = path[0].replace("\0", "."), path[1:]
    if isinstance(given, Mapping):
        return {**given, first: _put(given[first], rest, value) if rest else value}
    new = _put(getattr(given, first), rest, value) if rest else value
    copied = given.__copy__()
    msgspec.structs.force_setattr(copied, first, new)
    return copied
