"""PostgreSQL: goldens made from sources, clones made from goldens, and the pooler in front of a clone.

    values     what goes in and out; imports nothing heavy
    errors     what can go wrong here, as Retryable or Terminal
    naming     roles and databases that only this package knows
    marks      the comments that say whose a database or a role is
    server     a session on the previews' server, and its hardening
    clones     PostgresClones: clone, reset, drop, observe
    goldens    PostgresGoldens: refresh, list, current
    source, archive, plain, tools, scratch
               the parts of a refresh
    pooler     the files of a namespace's PgBouncer; pure

`server`, `clones`, `goldens` import psycopg: import them when a command needs them.
"""
