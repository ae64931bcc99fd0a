#!/bin/bash
# The contract of the official postgres image, as far as cx and its users rely on it.
set -Eeuo pipefail
[ "${1:0:1}" = '-' ] && set -- postgres "$@"
file_env() { local var=$1 file="${1}_FILE"; if [ -n "${!file:-}" ]; then export "$var"="$(< "${!file}")"; fi; unset "$file"; }
if [ "${1:-}" = postgres ] && [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql; chmod 700 "$PGDATA"; chown -R postgres:postgres "$(dirname "$PGDATA")" /var/run/postgresql
  # the secret's file may be readable by root only
  file_env POSTGRES_PASSWORD
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  file_env POSTGRES_PASSWORD; file_env POSTGRES_USER; file_env POSTGRES_DB; file_env POSTGRES_INITDB_ARGS
  user=${POSTGRES_USER:-postgres}; db=${POSTGRES_DB:-$user}; method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
    echo 'Error: Database is uninitialized and superuser password is not specified.' >&2; exit 1
  fi
  eval "initdb --username=\"\$user\" --pwfile=<(printf '%s\n' \"\${POSTGRES_PASSWORD:-}\") ${POSTGRES_INITDB_ARGS:-}"
  printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start
  psql() { command psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$user" "$@"; }
  [ "$db" = postgres ] || psql --dbname postgres --set db="$db" <<< 'CREATE DATABASE :"db";'
  for f in /docker-entrypoint-initdb.d/*; do
    case "$f" in
      *.sh) if [ -x "$f" ]; then "$f"; else . "$f"; fi ;;
      *.sql) psql --dbname "$db" -f "$f" ;;
      *.sql.gz) gunzip -c "$f" | psql --dbname "$db" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
  unset POSTGRES_PASSWORD
fi
exec "$@"
