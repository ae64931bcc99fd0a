"""The engines that clones can be made of: what a project's files tell of them, and what an app is told.

How a copy is made and run is in `cx/data/volumes/`, a file for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["url", "host", "port", "user", "password", "database"]

# How a namespace reaches its clone: through a pooler of its own to the shared server; as a server of its own on a
# volume of its own; or as a volume that its services mount.
Way = Literal["pooler", "server", "volume"]


@dataclass(frozen=True)
class EngineFacts:
    """`words` are the last words of images that run it. `database_env`, `user_env` and `password_env` are what
    those images read their first database from; the first that is set counts. `user` is what they make where
    nothing says another. `url` has the fields user, password, host, port and database, quoted for a URL."""

    name: str
    words: frozenset[str]
    port: int
    image: str
    url: str
    variables: Mapping[str, Kind]
    alias: str = "db"
    database_env: tuple[str, ...] = ()
    user_env: tuple[str, ...] = ()
    password_env: tuple[str, ...] = ()
    user: str = "app"
    memory: str = "512m"
    live_source: tuple[str, ...] = ()  # schemes of a source's URL
    open_without_password: bool = False  # as its image is, where nothing sets one
    env_of_root: Mapping[str, str] = field(default_factory=dict)  # variable with root's password -> root's name


POSTGRES = EngineFacts(
    "postgres",
    frozenset(
        {
            *("postgres", "postgresql", "postgresql-repmgr", "postgis", "pgvector", "pgvecto-rs", "citus", "paradedb"),
            *("timescaledb", "timescaledb-ha", "timescaledb-postgis", "spilo", "alloydbomni", "pgautoupgrade"),
        }
    ),
    5432,
    "postgres:18",
    "postgresql://{user}:{password}@{host}:{port}/{database}",
    {
        "DATABASE_URL": "url",
        "PGHOST": "host",
        "PGPORT": "port",
        "PGUSER": "user",
        "PGPASSWORD": "password",
        "PGDATABASE": "database",
    },
    database_env=("POSTGRES_DB", "POSTGRESQL_DATABASE"),
    user_env=("POSTGRES_USER", "POSTGRESQL_USERNAME", "POSTGRESQL_USER"),
    password_env=("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "POSTGRESQL_POSTGRES_PASSWORD"),
    user="postgres",
    live_source=("postgresql", "postgres"),
)
MARIADB = EngineFacts(
    "mariadb",
    frozenset({"mariadb", "mariadb-galera"}),
    3306,
    "mariadb:11",
    "mysql://{user}:{password}@{host}:{port}/{database}",
    {
        "DATABASE_URL": "url",
        "MYSQL_HOST": "host",
        "MYSQL_PORT": "port",
        "MYSQL_USER": "user",
        "MYSQL_PASSWORD": "password",
        "MYSQL_DATABASE": "database",
    },
    database_env=("MARIADB_DATABASE", "MYSQL_DATABASE"),
    user_env=("MARIADB_USER", "MYSQL_USER"),
    password_env=("MARIADB_PASSWORD", "MYSQL_PASSWORD"),
    user="root",
    live_source=("mysql", "mariadb"),
    env_of_root={"MARIADB_ROOT_PASSWORD": "root", "MYSQL_ROOT_PASSWORD": "root"},
)
MYSQL = replace(
    MARIADB,
    name="mysql",
    words=frozenset({"mysql", "mysql-server", "percona", "percona-server"}),
    image="mysql:9",
    memory="768m",
)
REDIS = EngineFacts(
    "redis",
    frozenset({"redis", "redis-stack-server", "valkey", "keydb"}),
    6379,
    "redis:8",
    "redis://default:{password}@{host}:{port}/0",
    {"REDIS_URL": "url", "REDIS_HOST": "host", "REDIS_PORT": "port", "REDIS_PASSWORD": "password"},
    alias="redis",
    password_env=("REDIS_PASSWORD", "VALKEY_PASSWORD"),
    user="default",
    memory="128m",
    open_without_password=True,
)
VALKEY = replace(REDIS, image="valkey/valkey:8")
VOLUME = EngineFacts("volume", frozenset(), 1, "debian:trixie-slim", "", {})

ENGINES: Mapping[str, EngineFacts] = {
    "postgres": POSTGRES,
    "mariadb": MARIADB,
    "mysql": MYSQL,
    "redis": REDIS,
    "valkey": VALKEY,
    "volume": VOLUME,
}
