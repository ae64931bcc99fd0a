"""What runs in the containers that make a golden: one script, told what to do by its first word."""

from __future__ import annotations

from cx.data.masking.dialects.mariadb.dialect import NEW, SOCKET, Dialect
from cx.data.workbench.tools import WORK
from cx.data.workbench.values import GOLDEN

# The loader has rights in the one database only, whatever a dump holds; who comes as root has all.
_RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES,"
    " CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, TRIGGER"
)

# One server at a time, on the socket, without a network. One query makes the next: names in it come from elsewhere.
_MAKE = rf"""
begin() {{ # FOLDER DATABASE OPTIONS
  [ -d {NEW} ] || install
  mkdir -p "$1"
  cp -a {NEW}/. "$1/"
  start "$1" "$3"
  "${{client[@]}}" -e "CREATE DATABASE \`$2\` CHARACTER SET utf8mb4; CREATE USER cx_loader@localhost;
    GRANT {_RIGHTS} ON \`$2\`.* TO cx_loader@localhost"
}}

start() {{ # FOLDER OPTIONS
  "${{server[@]}}" "${{hasty[@]}}" --skip-networking --datadir="$1" $2 > /tmp/cx.log 2>&1 < /dev/null & started=$!
  until "${{admin[@]}}" ping > /dev/null 2>&1; do
    kill -0 $started 2> /dev/null || {{ grep ERROR /tmp/cx.log >&2 || tail -n 5 /tmp/cx.log >&2; exit 1; }}
    sleep 0.05
  done
}}

end() {{
  "${{admin[@]}}" shutdown
  while [ -e /tmp/cx.pid ]; do sleep 0.05; done
}}

forget() {{ # FOLDER: nothing of it is kept
  kill -KILL "$(cat /tmp/cx.pid)"
  rm -rf "$1" {SOCKET}* /tmp/cx.pid
}}

# What others own becomes the loader's; which database it goes to is not for the dump to say, nor what is logged.
load() {{ # FILE DATABASE
  LC_ALL=C sed -E -e '/^(INSERT INTO|\()/!s/DEFINER=(`[^`]*`|[A-Za-z0-9_]+)@(`[^`]*`|[A-Za-z0-9_.%]+)//g' \
    -e '/^(CREATE DATABASE|USE |SET @@SESSION\.|SET @MYSQLDUMP_TEMP_LOG_BIN)/d' \
    -e '/^SET @@GLOBAL\.GTID_PURGED/,/;[[:space:]]*$/d' "$1" |
    "${{loader[@]}}" --max-allowed-packet=1G "$2"
}}

dump() {{ # FILE DATABASE OPTIONS
  local file=$1 database=$2
  shift 2
  $dump "$@" "${{dumping[@]}}" --single-transaction --quick --skip-lock-tables --no-tablespaces --routines --triggers \
    --hex-blob --default-character-set=utf8mb4 --max-allowed-packet=1G "$database" > "$file"
  whole "$file"
}}

whole() {{
  tail -c 200 "$1" | grep -q '^-- Dump completed' && return
  echo "ERROR: the dump is cut: its last line is missing" >&2
  exit 1
}}

tables() {{ # DATABASE BEFORE-ITS-NAME
  "${{loader[@]}}" --skip-column-names --batch --raw "$1" <<QUERY | "${{loader[@]}}" --skip-column-names --batch "$1"
SELECT CONCAT('$2 \`', REPLACE(TABLE_NAME, '\`', '\`\`'), '\`;') FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE';
QUERY
}}

ask() {{ # DATABASE USER OPTIONS: what is there prints
  cat {WORK}/key.sql {WORK}/ask.sql |
    "${{client[@]}}" --user="$2" "${{careful[@]}}" --skip-column-names --batch ${{3:-}} "$1"
}}

case $1 in
  dump) dump {WORK}/raw.sql "$2" --defaults-extra-file={WORK}/source.cnf ;;
  file) whole {WORK}/raw.sql ;;
  scratch)
    begin {WORK}/scratch "$2" --innodb-doublewrite=OFF
    load {WORK}/raw.sql "$2"
    rm {WORK}/raw.sql
    ;;
  ask) ask "$2" "$3" --raw ;;
  ask-into) ask "$2" "$3" | LC_ALL=C awk -F '\t' -f {WORK}/only.awk > "$4" ;; # what is special in values is escaped
  triggers)
    $dump "${{me[@]}}" "${{dumping[@]}}" --no-data --no-create-info --skip-routines --no-tablespaces --triggers "$2" \
      > {WORK}/triggers.sql
    whole {WORK}/triggers.sql
    ;;
  triggers-back) load {WORK}/triggers.sql "$2" ;;
  script) "${{loader[@]}}" "$2" < {WORK}/sanitise.sql ;;
  clean)
    dump {WORK}/clean.sql "$2" "${{me[@]}}"
    forget {WORK}/scratch
    ;;
  forget) forget {WORK}/scratch ;;
  copy) # a server on a copy of the golden
    cp -a --reflink=auto {GOLDEN}/data {WORK}/copy
    start {WORK}/copy ""
    "${{client[@]}}" -e "ALTER USER cx_loader@localhost ACCOUNT UNLOCK"
    ;;
  rows)
    $dump "${{me[@]}}" "${{dumping[@]}}" --user=cx_loader --no-create-info --skip-triggers --skip-lock-tables --quick \
      --no-tablespaces --single-transaction --max-allowed-packet=1G "$2"
    ;;
  golden)
    begin {GOLDEN}/data "$3" ""
    load {WORK}/"$2" "$3"
    tables "$3" "ANALYZE TABLE" > /dev/null
    "${{client[@]}}" -e "ALTER USER cx_loader@localhost ACCOUNT LOCK"
    end
    (cd {GOLDEN}/data; tidy)
    ;;
esac
"""


def script(dialect: Dialect) -> bytes:
    """The script, with the programs of `dialect`."""
    me = dialect.me
    lines = [
        "set -euo pipefail",
        f"me=({me}) careful=({dialect.careful}) dumping=({dialect.dumping}) dump={dialect.dump}",
        f"hasty=({dialect.hasty} --innodb-flush-log-at-trx-commit=0)",
        f"client=({dialect.client} {me}) admin=({dialect.admin} {me}) server=({dialect.server} {dialect.serving})",
        f"loader=({dialect.client} {me} --user=cx_loader {dialect.careful})",
        f"install() {{ {dialect.install}; }}",
        f"tidy() {{ {dialect.tidy or ':'}; }}",
    ]
    return ("\n".join(lines) + _MAKE).encode()
