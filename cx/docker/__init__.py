"""The engine: observed through its API, changed through it and through `docker compose`.

engine      the connection, and foreign errors made ours
facts       what is there of a namespace: containers, networks, volumes, images
compose     runs `docker compose` and `docker buildx` with an environment of their own
model       a blueprint made into the Compose models that are run
networks    subnets from cx's pool
workloads   the port that the core uses: lay, build, pin, release, start, await, retire, remove
"""
