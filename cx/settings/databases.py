"""`[databases.NAME]`: a source that previews get clones of, and which keys go with which kind of database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from cx.core.kinds import ENGINES, MARIADB, MYSQL, POSTGRES, REDIS, VALKEY, VOLUME, EngineFacts, Kind, Way
from cx.schema import Rule, Secret, Wrong
from cx.settings.masking import Mask, TableRows
from cx.settings.rules import (
    Image,
    is_extension,
    is_host_path,
    is_identifier,
    is_memory,
    is_project,
    is_source,
    is_variable,
    is_volume,
)

_SQL = {POSTGRES.name: "PostgreSQL", MARIADB.name: "MariaDB", MYSQL.name: "MySQL"}


class Database(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source that previews get clones of; exactly one of `source` and `file`."""

    engine: Annotated[
        Literal["postgres", "mariadb", "mysql", "redis", "valkey"],
        Meta(description="The engine; `image` says which version of it."),
    ] = "postgres"
    isolation: Annotated[
        Literal["database", "server"],
        Meta(
            description="PostgreSQL: `database`: a database on the previews' server; `server`: a server for each "
            "preview, in its network only. Other engines always have a server for each preview."
        ),
    ] = "database"
    image: Annotated[
        Image | None,
        Meta(description="Image of a preview's own server, and of its dump tools. Default: the engine's official one."),
    ] = None
    memory: Annotated[
        str | None,
        Meta(description="Limit of a preview's own server. Default: `512m`, MySQL `768m`, Redis `128m`."),
        Rule(is_memory),
    ] = None
    database: Annotated[
        str | None,
        Meta(
            description="MariaDB and MySQL: the clone's database, where the project names none. Default: the source's."
        ),
        Rule(is_identifier),
    ] = None
    preload: Annotated[
        list[Annotated[str, Rule(is_extension)]],
        Meta(description='PostgreSQL with `isolation = "server"`: libraries to preload.'),
    ] = []
    superuser: Annotated[
        bool, Meta(description='PostgreSQL with `isolation = "server"`: the app\'s user is its superuser.')
    ] = False
    volume: Annotated[
        str | None,
        Meta(description='`strategy = "volume"`: the project\'s volume that becomes a clone. Default: the name here.'),
        Rule(is_volume),
    ] = None
    fill: Annotated[
        list[str],
        Meta(description='`strategy = "volume"`: command in a container of `image` that fills the golden volume.'),
    ] = []
    target: Annotated[
        str,
        Meta(description="Where `fill` finds the golden volume."),
        Rule(is_host_path),
    ] = "/golden"
    source: Annotated[
        Secret | None,
        Meta(
            description="`postgresql://user:password@host/database`, or `mysql://...`, to dump from; or "
            "`env:NAME`: the variable NAME "
            "of cx's environment holds it. Never shown."
        ),
        Rule(is_source),
    ] = None
    file: Annotated[
        Path | None,
        Meta(
            description="Instead: a dump of `pg_dump` (custom, directory or plain), `mariadb-dump` or `mysqldump`; "
            "an RDB file for Redis; a file or folder to fill a volume with."
        ),
    ] = None
    sanitise: Annotated[Path | None, Meta(description="SQL script that takes out what previews must not see.")] = None
    mask: Annotated[
        Mask,
        Meta(
            description="PostgreSQL, MariaDB, MySQL: table -> column -> what becomes of its values: see "
            "[data](data.md#rules)."
        ),
    ] = {}
    rows: Annotated[
        TableRows,
        Meta(
            description="PostgreSQL, MariaDB, MySQL: table -> which rows come along: `all`, `none`, `left out`, or a "
            "table with `where`, or `newest` and `by`."
        ),
    ] = {}
    large_objects: Annotated[
        bool, Meta(description="PostgreSQL, with `mask` or `rows`: large objects come along, as they are.")
    ] = False
    command: Annotated[
        list[str],
        Meta(
            description="Instead of the engine's dump tool: a command in a container of `command_image` that writes a "
            "dump of the source, sanitised, to `$DUMP_FILE`; see [data](data.md#another-tool)."
        ),
    ] = []
    command_image: Annotated[Image | None, Meta(description="Image that `command` runs in.")] = None
    extensions: Annotated[
        list[Annotated[str, Rule(is_extension)]], Meta(description="Extensions to create before the data comes in.")
    ] = []
    jobs: Annotated[int, Meta(ge=1, le=64, description="Parallel jobs of dump and restore.")] = 2
    strategy: Annotated[
        Literal["auto", "wal_log", "file_copy", "reflink", "volume"],
        Meta(
            description="How clones are made. `auto`: as is fastest by the golden's size and files, and its volume. "
            "`volume`: the clone is a volume of the project's, whatever engine has its files there."
        ),
    ] = "auto"
    spares: Annotated[
        Annotated[int, Meta(ge=0, le=20)] | None,
        Meta(description="Finished clones kept ready. Default: `postgres.spares`."),
    ] = None
    refresh_every_h: Annotated[
        int, Meta(ge=0, le=87_600, description="Hours after which `cx db refresh --schedule` refreshes; 0: never.")
    ] = 0
    max_age_h: Annotated[
        int, Meta(ge=0, le=87_600, description="Hours that a golden may be old; 0: any age will do.")
    ] = 0
    when_older: Annotated[
        Literal["warn", "refuse"],
        Meta(description="What an older golden means: `warn` in `cx db list`; `refuse` new clones."),
    ] = "warn"
    projects: Annotated[
        list[Annotated[str, Rule(is_project)]],
        Meta(
            description="Which of `[projects]` get clones of it. Default: whatever is deployed here and asks for it. "
            "Where projects have authors of their own, say it."
        ),
    ] = []
    env: Annotated[
        dict[
            Annotated[str, Rule(is_variable)],
            Kind,
        ]
        | None,
        Meta(
            description="Variables that the previews' services get: name -> what it holds. Default: `DATABASE_URL` and "
            "`PG*`; `DATABASE_URL` and `MYSQL_*`; `REDIS_*`."
        ),
    ] = None

    def __post_init__(self) -> None:
        check_database_keys(self)

    @property
    def facts(self) -> EngineFacts:
        return ENGINES["volume" if self.strategy == "volume" else self.engine]

    @property
    def way(self) -> Way:
        if self.facts is VOLUME:
            return "volume"
        return "pooler" if self.facts is POSTGRES and self.isolation == "database" else "server"

    @property
    def variables(self) -> Mapping[str, Kind]:
        return self.facts.variables if self.env is None else self.env

    def mounted(self, name: str) -> str:
        """The project's volume that becomes a clone of this, which is called `name`."""
        return self.volume or name


def check_database_keys(given: Database) -> None:
    """Raises Wrong."""
    facts = given.facts
    _check_origin(given)
    if facts is not POSTGRES or given.isolation != "server":
        for key in ("preload", "superuser"):
            if getattr(given, key):
                raise Wrong(key, 'is for PostgreSQL with isolation = "server"')
    if facts is not POSTGRES and given.isolation == "server" and facts is VOLUME:
        raise Wrong("isolation", 'says nothing of strategy = "volume": its services are the project\'s own')
    if facts is VOLUME and given.env:
        raise Wrong("env", 'says nothing of strategy = "volume": a volume has no URL and no password')
    if facts is not VOLUME:
        for key in ("volume", "fill"):
            if getattr(given, key):
                raise Wrong(key, 'is for strategy = "volume"')
    for mine, other in ((MARIADB, MYSQL), (MYSQL, MARIADB)):
        if facts is mine and given.image and _word(given.image) in other.words:
            raise Wrong("image", f"runs {_SQL[other.name]}", f'engine = "{other.name}"')
    _check_masking(given)
    if facts.name not in _SQL and given.sanitise:
        raise Wrong("sanitise", f"cannot be run on {facts.name}", "give a file, or a command, that is sanitised")


def _word(image: str) -> str:
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def _check_masking(given: Database) -> None:
    for key in ("mask", "rows"):
        if getattr(given, key) and given.facts.name not in _SQL:
            raise Wrong(key, "is for PostgreSQL, MariaDB and MySQL")
    if given.large_objects and given.facts is not POSTGRES:
        raise Wrong("large_objects", "is for PostgreSQL: other engines have none")
    if given.command and given.facts.name not in _SQL:
        raise Wrong("command", "is for PostgreSQL, MariaDB and MySQL")
    if given.large_objects and not (given.mask or given.rows):
        raise Wrong("large_objects", "goes with mask or rows")
    if given.command and not (given.source and given.command_image):
        raise Wrong("command", "needs source, and command_image to run in")
    if given.command_image and not given.command:
        raise Wrong("command_image", "goes with command")
    if given.command and (given.mask or given.rows or given.sanitise):
        raise Wrong("command", "sanitises by itself: it goes with neither mask, rows nor sanitise")


def _check_origin(given: Database) -> None:
    facts = given.facts
    if facts in (REDIS, VALKEY):
        if given.source:
            raise Wrong("source", "is not for Redis", "give file with an RDB file, or nothing for an empty one")
        return
    if facts is VOLUME:
        if given.source or bool(given.file) == bool(given.fill):
            raise Wrong("fill", "should be given, or file instead; exactly one of the two, and no source")
        if given.fill and not given.image:
            raise Wrong("image", "is missing: fill runs in a container of it")
        return
    if (given.source is None) == (given.file is None):
        raise Wrong("source", "should be given, or file instead; exactly one of the two")
    if given.source and not given.source.variable:
        scheme = urlsplit(given.source.reveal()).scheme
        if scheme not in facts.live_source:
            raise Wrong("source", f"should be {facts.live_source[0]}://... for {_SQL[facts.name]} (not shown here)")
