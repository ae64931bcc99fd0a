"""Databases on the previews' PostgreSQL server: goldens, and clones with a pooler in front of each.

clones      PostgresClones: clone, reset, drop, observe, and snapshots
held        one clone, held by one session; making, copying, opening, dropping are what is done to it
goldens     PostgresGoldens: refresh, list, current; refresh is one refresh
spares      finished clones that wait for a namespace
observing   what the server holds of this instance
pooler      the files of a namespace's PgBouncer; pure

Most modules import psycopg: import them when a command needs them.
"""
