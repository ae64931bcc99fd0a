#!/bin/sh
# The database server, as the image's entrypoint finds it in the path before the real one.
#
# The entrypoint has the superuser's password in its environment, and leaves it there: every process of the server, and
# so those that run what a preview sends, would have it.
unset POSTGRES_PASSWORD PGPASSWORD
PATH=${PATH#/cx:}
exec postgres "$@"
