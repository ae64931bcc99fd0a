#!/bin/bash
# As in the official image: the first start makes the data directory, the root user, a database and its user, and runs
# what is in /docker-entrypoint-initdb.d, on a server without a network.
set -euo pipefail
data=/var/lib/mysql
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/['\\\\]/\\\\&/g")"; }

users() {
  local root=${MYSQL_ROOT_PASSWORD:-} database=${MYSQL_DATABASE:-} user=${MYSQL_USER:-} password=${MYSQL_PASSWORD:-}
  echo "CREATE USER root@'%' IDENTIFIED BY $(quoted "$root");"
  echo "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
  [ -z "$database" ] || echo "CREATE DATABASE \`${database//\`/}\`;"
  [ -z "$user" ] || echo "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"
  [ -z "$user" ] || [ -z "$database" ] || echo "GRANT ALL ON \`${database//\`/}\`.* TO $(quoted "$user")@'%';"
  echo "ALTER USER root@localhost IDENTIFIED BY $(quoted "$root");"
}

first_start() {
  local server client=(mysql --no-defaults --user=root --socket=/tmp/first.sock) file files
  if [ -z "${MYSQL_ROOT_PASSWORD:-}" ] && [ -z "${MYSQL_ALLOW_EMPTY_PASSWORD:-}" ]; then
    echo "MYSQL_ROOT_PASSWORD is not set" >&2
    exit 1
  fi
  users > /tmp/users.sql
  mysqld --initialize-insecure --datadir=$data --init-file=/tmp/users.sql
  rm /tmp/users.sql
  files=$(find /docker-entrypoint-initdb.d -type f | sort)
  [ -n "$files" ] || return 0
  mysqld --datadir=$data --skip-networking --mysqlx=OFF --socket=/tmp/first.sock &
  server=$!
  export MYSQL_PWD=${MYSQL_ROOT_PASSWORD:-}
  until "${client[@]}" -e "SELECT 1" > /dev/null 2>&1; do
    kill -0 "$server"
    sleep 0.1
  done
  for file in $files; do
    case $file in
      *.sh) bash "$file" ;;
      *.sql) "${client[@]}" ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} < "$file" ;;
      *.sql.gz) gunzip -c "$file" | "${client[@]}" ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} ;;
    esac
  done
  unset MYSQL_PWD
  kill "$server"
  wait "$server"
}

case ${1:-} in -*) set -- mysqld "$@" ;; esac
if [ "$1" = mysqld ]; then
  if [ "$(id -u)" = 0 ]; then
    find $data \! -user mysql -exec chown mysql '{}' +
    exec setpriv --reuid=mysql --regid=mysql --clear-groups "$0" "$@"
  fi
  [ -d $data/mysql ] || first_start
fi
exec "$@"
