#!/bin/sh
# As in the official image: flags and *.conf go to the server, which runs as valkey, without protected mode.
set -eu
case ${1:-} in
  -* | *.conf) set -- valkey-server "$@" ;;
esac
if [ "$1" = valkey-server ]; then
  case " $* " in
    *" --protected-mode "*) ;;
    *) set -- "$@" --protected-mode no ;;
  esac
  if [ "$(id -u)" = 0 ]; then
    find . \! -user valkey -exec chown valkey '{}' +
    exec setpriv --reuid=valkey --regid=valkey --clear-groups "$@"
  fi
fi
exec "$@"
