#!/usr/bin/env bash
# What runs in the containers that make a golden of MariaDB or MySQL, told what to do by its first word. Its environment
# names programs (CX_CLIENT, CX_ADMIN, CX_SERVER, CX_DUMP), places (CX_WORK, CX_GOLDEN, CX_NEW, CX_SOCKET) and lists of
# options (the rest). It holds no secret: those come in files.
set -euo pipefail

work=$CX_WORK golden=$CX_GOLDEN socket=$CX_SOCKET new=$CX_NEW
read -ra me <<< "$CX_ME"
read -ra careful <<< "$CX_CAREFUL"
read -ra dumping <<< "$CX_DUMPING"
read -ra hasty <<< "$CX_HASTY"
read -ra serving <<< "$CX_SERVING"
client=("$CX_CLIENT" "${me[@]}") admin=("$CX_ADMIN" "${me[@]}") server=("$CX_SERVER" "${serving[@]}")
loader=("$CX_CLIENT" "${me[@]}" --user=cx_loader "${careful[@]}")

# The loader has rights in the one database only, whatever a dump holds; who comes as root has all.
rights="SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, TRIGGER"

install() { # an empty server's files, in memory: making them waits for the disk some hundred times
  if [ "$CX_DIALECT" = mysql ]; then
    mysqld --no-defaults --initialize-insecure --datadir="$new" --skip-log-bin > /tmp/cx.log 2>&1 ||
      { grep ERROR /tmp/cx.log >&2; exit 1; }
  else
    mariadb-install-db --no-defaults --datadir="$new" --skip-test-db --auth-root-authentication-method=socket \
      --auth-root-socket-user=mysql --innodb-log-file-size=16M > /dev/null
  fi
}

tidy() { # in a golden's data directory: what each server is to have of its own goes
  [ "$CX_DIALECT" != mysql ] || rm -f auto.cnf ./*.pem # its name, and its keys for TLS
}

# One server at a time, on the socket, without a network. One query makes the next: names in it come from elsewhere.
begin() { # FOLDER DATABASE OPTION...
  [ -d "$new" ] || install
  mkdir -p "$1"
  cp -a "$new/." "$1/"
  start "$1" "${@:3}"
  "${client[@]}" -e "CREATE DATABASE \`$2\` CHARACTER SET utf8mb4; CREATE USER cx_loader@localhost;
    GRANT $rights ON \`$2\`.* TO cx_loader@localhost"
}

start() { # FOLDER OPTION...
  "${server[@]}" "${hasty[@]}" --skip-networking --datadir="$1" "${@:2}" > /tmp/cx.log 2>&1 < /dev/null & started=$!
  until "${admin[@]}" ping > /dev/null 2>&1; do
    kill -0 $started 2> /dev/null || { grep ERROR /tmp/cx.log >&2 || tail -n 5 /tmp/cx.log >&2; exit 1; }
    sleep 0.05
  done
}

end() {
  "${admin[@]}" shutdown
  while [ -e /tmp/cx.pid ]; do sleep 0.05; done
}

forget() { # FOLDER: nothing of it is kept
  kill -KILL "$(cat /tmp/cx.pid)"
  rm -rf "$1" "$socket"* /tmp/cx.pid
}

# What others own becomes the loader's; which database it goes to is not for the dump to say, nor what is logged.
load() { # FILE DATABASE
  # shellcheck disable=SC2016 # the backticks are SQL's
  LC_ALL=C sed -E -e '/^(INSERT INTO|\()/!s/DEFINER=(`[^`]*`|[A-Za-z0-9_]+)@(`[^`]*`|[A-Za-z0-9_.%]+)//g' \
    -e '/^(CREATE DATABASE|USE |SET @@SESSION\.|SET @MYSQLDUMP_TEMP_LOG_BIN)/d' \
    -e '/^SET @@GLOBAL\.GTID_PURGED/,/;[[:space:]]*$/d' "$1" |
    "${loader[@]}" --max-allowed-packet=1G "$2"
}

dump() { # FILE DATABASE OPTION...
  local file=$1 database=$2
  shift 2
  "$CX_DUMP" "$@" "${dumping[@]}" --single-transaction --quick --skip-lock-tables --no-tablespaces --routines --triggers \
    --hex-blob --default-character-set=utf8mb4 --max-allowed-packet=1G "$database" > "$file"
  whole "$file"
}

whole() {
  tail -c 200 "$1" | grep -q '^-- Dump completed' && return
  echo "ERROR: the dump is cut: its last line is missing" >&2
  exit 1
}

tables() { # DATABASE BEFORE-ITS-NAME
  "${loader[@]}" --skip-column-names --batch --raw "$1" <<QUERY | "${loader[@]}" --skip-column-names --batch "$1"
SELECT CONCAT('$2 \`', REPLACE(TABLE_NAME, '\`', '\`\`'), '\`;') FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE';
QUERY
}

ask() { # DATABASE USER OPTION...: answers the questions of ask.sql
  cat "$work/key.sql" "$work/ask.sql" |
    "${client[@]}" --user="$2" "${careful[@]}" --skip-column-names --batch "${@:3}" "$1"
}

case $1 in
  dump) dump "$work/raw.sql" "$2" --defaults-extra-file="$work/source.cnf" ;;
  file) whole "$work/raw.sql" ;;
  scratch)
    begin "$work/scratch" "$2" --innodb-doublewrite=OFF
    load "$work/raw.sql" "$2"
    rm "$work/raw.sql"
    ;;
  ask) ask "$2" "$3" --raw ;;
  ask-into) ask "$2" "$3" | LC_ALL=C awk -F '\t' -f "$work/only.awk" > "$4" ;; # what is special in values is escaped
  triggers)
    "$CX_DUMP" "${me[@]}" "${dumping[@]}" --no-data --no-create-info --skip-routines --no-tablespaces --triggers "$2" \
      > "$work/triggers.sql"
    whole "$work/triggers.sql"
    ;;
  triggers-back) load "$work/triggers.sql" "$2" ;;
  script) "${loader[@]}" "$2" < "$work/sanitise.sql" ;;
  clean)
    dump "$work/clean.sql" "$2" "${me[@]}"
    forget "$work/scratch"
    ;;
  forget) forget "$work/scratch" ;;
  copy) # a server on a copy of the golden
    cp -a --reflink=auto "$golden/data" "$work/copy"
    start "$work/copy"
    "${client[@]}" -e "ALTER USER cx_loader@localhost ACCOUNT UNLOCK"
    ;;
  rows)
    "$CX_DUMP" "${me[@]}" "${dumping[@]}" --user=cx_loader --no-create-info --skip-triggers --skip-lock-tables --quick \
      --no-tablespaces --single-transaction --max-allowed-packet=1G "$2"
    ;;
  golden)
    begin "$golden/data" "$3"
    load "$work/$2" "$3"
    tables "$3" "ANALYZE TABLE" > /dev/null
    "${client[@]}" -e "ALTER USER cx_loader@localhost ACCOUNT LOCK"
    end
    (cd "$golden/data"; tidy)
    ;;
esac
