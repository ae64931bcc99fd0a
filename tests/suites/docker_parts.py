"""A blueprint that has one of everything."""

from __future__ import annotations

from cx.core.blueprint import Blueprint, Build, DatabaseUse, Mounted, Pooler, Release, Route

SECRET = "s3cret$HOME"

BLUEPRINT = Blueprint(
    services={
        "web": {
            "image": "",
            "command": ["serve", "--greeting", "$USER ${HOME} $$"],
            "entrypoint": ["/bin/$entry"],
            "environment": {"PRICE": "$5", "EMPTY": None, "N": 1},
            "healthcheck": {"test": ["CMD", "curl", "$URL"], "interval": "1s"},
            "deploy": {"replicas": 3},
            "depends_on": {
                "migrate": {"condition": "service_completed_successfully", "required": True},
                "redis": {"condition": "service_started"},
                "gone": {"condition": "service_started"},
            },
            "volumes": [
                {"type": "volume", "source": "uploads", "target": "/uploads"},
                {"type": "volume", "source": "", "target": "/conf", "volume": {"subpath": "conf"}},
                {"type": "volume", "target": "/scratch"},
                {"type": "tmpfs", "target": "/tmp"},
            ],
        },
        "migrate": {"image": "busybox", "command": ["true"], "cap_add": ["SYS_NICE", "CHOWN"]},
        "big": {"image": "nginx", "mem_limit": "2g", "cpus": 2, "pids_limit": 999, "stop_grace_period": "30s"},
        # What no policy would let through: the model is the second line.
        "evil": {
            "image": "nginx",
            "cap_drop": [],
            "security_opt": ["seccomp:unconfined"],
            "logging": {"driver": "syslog"},
            "restart": "unless-stopped",
            "labels": {"dev.cx.namespace": "other"},
            "networks": {"host": None},
        },
    },
    pinned={
        "redis": {
            "image": "redis:8",
            "volumes": [{"type": "volume", "source": "redis", "target": "/data"}],
            "depends_on": {"web": {"condition": "service_started"}},
        }
    },
    routes=(Route("web", "preview-1-web.localhost", 8000), Route("redis", "preview-1-redis.localhost", 6379)),
    builds=(Build("web", ".", "Dockerfile", digest="abc123"),),
    databases=(DatabaseUse("app", "db"), DatabaseUse("stats", "stats")),
    database_env={"web": {"DATABASE_URL": "url", "STATS_PASSWORD": "stats.password", "PORT": "app.port"}},
    aliases={"web": ("frontend",), "redis": ("cache",)},
    volumes=("uploads", "redis"),
    mounted=(Mounted("conf"),),
    release=Release("web", ("migrate", "$now")),
)


def pooler(use: DatabaseUse) -> Pooler:
    password = f"{SECRET}-{use.name}"
    files = {
        "/etc/pgbouncer/pgbouncer.ini": f"password={password}\n".encode(),
        "/etc/pgbouncer/users.txt": f'"app" "{password}"\n'.encode(),
    }
    env = {"url": f"postgresql://app:{password}@{use.alias}", "password": password, "port": "5432"}
    return Pooler(use, files, env)


POOLERS = [pooler(use) for use in BLUEPRINT.databases]
