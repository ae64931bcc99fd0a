#!/bin/sh
# As in the official image: flags and Traefik's own commands go to Traefik, all else is run as it is.
set -eu
case ${1:-} in
  -* | version | healthcheck) set -- traefik "$@" ;;
esac
exec "$@"
