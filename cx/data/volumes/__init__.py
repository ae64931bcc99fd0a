"""Goldens and clones that are volumes: a server for each preview, or a volume of a project's.

`clones` fills the core's port, `goldens` refreshes, `volumes` knows what there is and copies. What differs between
engines is a file each: postgres, mariadb, redis, plain; `kinds` is the table of them.
"""
