"""Each defence of the policy: what it refuses, with key and reason, and what it lets through."""

from __future__ import annotations

import pytest

from cx.core.errors import Invalid, Refused
from cx.project.policy import Caps, Grants, Look, builds, screen
from cx.project.policy.table import SERVICE, Refuse

HOST_MOUNT = {"type": "bind", "target": "/x"}

# key of a service -> a value that is refused, and the key that the reason begins with
REFUSED = [
    ({"privileged": True}, "privileged"),
    ({"cap_add": ["SYS_ADMIN"]}, "cap_add"),
    ({"cap_add": ["ALL"]}, "cap_add"),
    ({"cap_add": ["CAP_NET_RAW"]}, "cap_add"),
    ({"cap_add": "SYS_ADMIN"}, "cap_add"),
    ({"devices": [{"source": "/dev/kvm", "target": "/dev/kvm", "permissions": "rwm"}]}, "devices"),
    ({"devices": ["/dev/sda:/dev/sda"]}, "devices"),
    ({"device_cgroup_rules": ["c 1:3 mr"]}, "device_cgroup_rules"),
    ({"gpus": "all"}, "gpus"),
    ({"network_mode": "host"}, "network_mode"),
    ({"network_mode": "container:cx-postgres"}, "network_mode"),
    ({"network_mode": "service:db"}, "network_mode"),
    ({"network_mode": "none"}, "network_mode"),
    ({"pid": "host"}, "pid"),
    ({"pid": "service:db"}, "pid"),
    ({"ipc": "host"}, "ipc"),
    ({"ipc": "shareable"}, "ipc"),
    ({"ipc": "container:x"}, "ipc"),
    ({"userns_mode": "host"}, "userns_mode"),
    ({"uts": "host"}, "uts"),
    ({"cgroup": "host"}, "cgroup"),
    *[({"restart": one}, "restart") for one in ("sometimes", "on-failure:x", "on-failure:-1", "on-failure:99999", 1)],
    ({"deploy": {"restart_policy": {"condition": "sometimes"}}}, "deploy.restart_policy.condition"),
    ({"cgroup_parent": "/system.slice"}, "cgroup_parent"),
    ({"security_opt": ["seccomp:unconfined"]}, "security_opt"),
    ({"security_opt": ["no-new-privileges:true", "apparmor=unconfined"]}, "security_opt"),
    ({"security_opt": ["no-new-privileges:false"]}, "security_opt"),
    ({"extends": {"file": "other.yml", "service": "x"}}, "extends"),
    ({"env_file": [".env"]}, "env_file"),
    ({"label_file": "x"}, "label_file"),
    ({"configs": [{"source": "x"}]}, "configs"),
    ({"secrets": [{"source": "x"}]}, "secrets"),
    ({"credential_spec": {"file": "x"}}, "credential_spec"),
    ({"use_api_socket": True}, "use_api_socket"),
    ({"provider": {"type": "x"}}, "provider"),
    ({"models": ["x"]}, "models"),
    ({"pre_start": [{"image": "x", "command": "x"}]}, "pre_start"),
    ({"post_start": [{"command": "x", "privileged": True}]}, "post_start"),
    ({"pre_stop": [{"command": "x"}]}, "pre_stop"),
    ({"volumes_from": ["container:cx-postgres"]}, "volumes_from"),
    ({"external_links": ["cx-postgres"]}, "external_links"),
    ({"extra_hosts": {"host.docker.internal": ["host-gateway"], "a": ["1.2.3.4"]}}, "extra_hosts"),
    ({"extra_hosts": {"a": ["host-gateway", "1.2.3.4"]}}, "extra_hosts"),
    ({"extra_hosts": ["a=1.2.3.4"]}, "extra_hosts"),
    ({"dns": ["1.2.3.4"]}, "dns"),
    ({"dns_search": ["x"]}, "dns_search"),
    ({"dns_opt": ["x"]}, "dns_opt"),
    ({"mac_address": "02:42:ac:11:00:02"}, "mac_address"),
    ({"oom_kill_disable": True}, "oom_kill_disable"),
    ({"oom_score_adj": -1000}, "oom_score_adj"),
    ({"runtime": "sysbox"}, "runtime"),
    ({"isolation": "hyperv"}, "isolation"),
    ({"storage_opt": {"size": "1G"}}, "storage_opt"),
    ({"cpu_rt_runtime": "400ms"}, "cpu_rt_runtime"),
    ({"cpu_rt_period": "400ms"}, "cpu_rt_period"),
    ({"sysctls": {"kernel.core_pattern": "|/x"}}, "sysctls.kernel.core_pattern"),
    ({"sysctls": {"net.core.somaxconn": "1; x"}}, "sysctls.net.core.somaxconn"),
    ({"ulimits": {"rtprio": 99}}, "ulimits.rtprio"),
    ({"ulimits": {"nofile": 10**9}}, "ulimits.nofile"),
    ({"labels": {"dev.cx.namespace": "preview-2"}}, "labels.dev.cx.namespace"),
    ({"labels": ["Dev.CX.role=service"]}, "labels.Dev.CX.role"),
    ({"deploy": {"labels": {"dev.cx.instance": "cx"}}}, "deploy.labels.dev.cx.instance"),
    ({"deploy": {"mode": "global"}}, "deploy.mode"),
    ({"deploy": {"surprise": 1}}, "deploy.surprise"),
    ({"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}}}, "deploy.resources."),
    ({"deploy": {"resources": {"limits": {"generic_resources": [1]}}}}, "deploy.resources.limits.generic"),
    ({"image": "cx/preview-2/app:0123456789abcdef"}, "image"),
    ({"image": "docker.io/cx/preview-2/app:0123456789abcdef"}, "image"),
    ({"image": "index.docker.io/cx/preview-2/app"}, "image"),
    ({"image": "cx/pgbouncer:1"}, "image"),
    ({"image": "sha256:" + "a" * 64}, "image"),
    ({"image": "0123456789ab"}, "image"),
    ({"image": "abc"}, "image"),
    ({"image": "sha256:0"}, "image"),
    ({"image": "--help"}, "image"),
    ({"image": "x y"}, "image"),
    ({"image": "$IMAGE"}, "image"),
    ({"image": ""}, "image"),
    ({"user": "root$(x)"}, "user"),
    ({"user": "../x"}, "user"),
    ({"working_dir": "relative"}, "working_dir"),
    ({"working_dir": "/$HOME"}, "working_dir"),
    ({"stop_signal": "KILL; x"}, "stop_signal"),
    ({"command": "not a list"}, "command"),
    ({"command": ["a\0b"]}, "command"),
    ({"environment": {"A=B": "x"}}, "environment"),
    ({"environment": {"A": "x\0"}}, "environment.A"),
    ({"environment": {"A": "x" * 70_000}}, "environment.A"),
    ({"environment": {f"A{n}": "x" * 60_000 for n in range(5)}}, "environment"),
    ({"environment": ["A=B"]}, "environment"),
    ({"healthcheck": {"test": ["rm", "-rf"]}}, "healthcheck.test"),
    ({"healthcheck": {"interval": "soon"}}, "healthcheck.interval"),
    ({"healthcheck": {"what": 1}}, "healthcheck.what"),
    ({"mem_limit": "lots"}, "mem_limit"),
    ({"mem_limit": "1k"}, "mem_limit"),
    ({"mem_limit": "0.5b"}, "mem_limit"),
    ({"mem_limit": "-1"}, "mem_limit"),
    ({"mem_limit": "8192p"}, "mem_limit"),
    ({"cpus": 0.001}, "cpus"),
    ({"cpus": "1_0"}, "cpus"),
    ({"cpus": "nan"}, "cpus"),
    ({"tmpfs": ["/run:size=0"]}, "tmpfs[0]"),
    ({"cpus": "many"}, "cpus"),
    ({"cpus": -1}, "cpus"),
    ({"pids_limit": "many"}, "pids_limit"),
    ({"tmpfs": ["/run:suid"]}, "tmpfs[0]"),
    ({"tmpfs": ["relative"]}, "tmpfs[0]"),
    ({"tmpfs": ["/x:size=lots"]}, "tmpfs[0]"),
    ({"depends_on": {"nobody": {"condition": "service_started"}}}, "depends_on.nobody"),
    ({"networks": {"default": {"aliases": ["cx-pooler-app"]}}}, "networks.default.aliases"),
    ({"networks": {"default": {"aliases": ["a b"]}}}, "networks.default.aliases"),
    ({"surprise": 1}, "surprise"),
    # mounts
    ({"volumes": [HOST_MOUNT | {"source": "/"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "/etc"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "/var/run/docker.sock"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "out"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "out/secret"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "out/not-there"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "app/out-file"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "in/../../secret"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": ".."}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "loop"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "sibling"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "../checkout-of-another"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "a\0b"}]}, "volumes[0].source"),
    ({"volumes": [HOST_MOUNT | {"source": "app", "bind": {"propagation": "shared"}}]}, "volumes[0].bind.propagation"),
    ({"volumes": [HOST_MOUNT | {"source": "app", "target": "/"}]}, "volumes[0].target"),
    ({"volumes": [HOST_MOUNT | {"source": "app", "target": "/a/../../proc"}]}, "volumes[0].target"),
    ({"volumes": [HOST_MOUNT | {"source": "app", "surprise": 1}]}, "volumes[0].surprise"),
    ({"volumes": [{"type": "npipe", "source": "x", "target": "/x"}]}, "volumes[0].type"),
    ({"volumes": [{"type": "cluster", "source": "x", "target": "/x"}]}, "volumes[0].type"),
    ({"volumes": [{"type": "image", "source": "cx/preview-2/app", "target": "/x"}]}, "volumes[0].type"),
    ({"volumes": [{"type": "volume", "source": "../x", "target": "/x"}]}, "volumes[0].source"),
    ({"volumes": [{"type": "volume", "source": "cx-files", "target": "/x"}]}, "volumes[0].source"),
    ({"volumes": [{"type": "volume", "source": "d", "target": "/x", "volume": {"subpath": "../x"}}]}, "volumes[0].vo"),
    ({"volumes": [{"type": "volume", "target": "/x", "volume": {"subpath": "x"}}]}, "volumes[0].volume.subpath"),
    ({"volumes": [{"type": "volume", "source": "d", "target": "/x", "volume": {"driver": "x"}}]}, "volumes[0].volume"),
    ({"volumes": [{"type": "tmpfs", "target": "/x", "tmpfs": {"options": ["suid"]}}]}, "volumes[0].tmpfs"),
    ({"volumes": ["/:/host"]}, "volumes[0]"),
    ({"volumes": [{"type": "tmpfs", "target": "/x"}] * 51}, "volumes"),
    # builds
    ({"build": {"context": "/"}}, "build.context"),
    ({"build": {"context": ".."}}, "build.context"),
    ({"build": {"context": "out"}}, "build.context"),
    ({"build": {"context": "nowhere"}}, "build.context"),
    ({"build": {"context": "https://github.com/x/y.git"}}, "build.context"),
    ({"build": {"context": "git@github.com:x/y"}}, "build.context"),
    ({"build": {"context": "github.com/x/y"}}, "build.context"),
    ({"build": {"context": "docker-image://x"}}, "build.context"),
    ({"build": {"context": ".", "dockerfile": "../secret"}}, "build.dockerfile"),
    ({"build": {"context": ".", "dockerfile": "app/out-file"}}, "build.dockerfile"),
    ({"build": {"context": ".", "dockerfile": "/etc/passwd"}}, "build.dockerfile"),
    ({"build": {"context": ".", "dockerfile": "nowhere"}}, "build.dockerfile"),
    ({"build": {"context": ".", "dockerfile_inline": "FROM x"}}, "build.dockerfile_inline"),
    ({"build": {"context": ".", "network": "host"}}, "build.network"),
    ({"build": {"context": ".", "network": "container:x"}}, "build.network"),
    ({"build": {"context": ".", "entitlements": ["security.insecure"]}}, "build.entitlements"),
    ({"build": {"context": ".", "privileged": True}}, "build.privileged"),
    ({"build": {"context": ".", "secrets": [{"source": "x"}]}}, "build.secrets"),
    ({"build": {"context": ".", "ssh": ["default"]}}, "build.ssh"),
    ({"build": {"context": ".", "additional_contexts": {"x": "/etc"}}}, "build.additional_contexts"),
    ({"build": {"context": ".", "extra_hosts": {"a": ["1.2.3.4"]}}}, "build.extra_hosts"),
    ({"build": {"context": ".", "isolation": "process"}}, "build.isolation"),
    ({"build": {"context": ".", "ulimits": {"nofile": 1}}}, "build.ulimits"),
    ({"build": {"context": ".", "labels": {"dev.cx.build": "x"}}}, "build.labels.dev.cx.build"),
    ({"build": {"context": ".", "target": "--x"}}, "build.target"),
    ({"build": {"context": ".", "args": {"BUILDKIT_SYNTAX": "evil/frontend"}}}, "build.args.BUILDKIT_SYNTAX"),
    ({"build": {"context": ".", "args": {"BUILDKIT_SANDBOX_HOSTNAME": "x"}}}, "build.args.BUILDKIT_SANDBOX_HOSTNAME"),
    *(
        ({"build": {"context": ".", "args": {name: "http://10.0.0.1"}}}, f"build.args.{name}")
        for name in ("http_proxy", "HTTPS_PROXY", "ftp_proxy", "no_proxy", "all_proxy", "aLL_PrOxY", "grpc_proxy")
    ),
    ({"build": {"context": ".", "args": {"--x": "y"}}}, "build.args.--x"),
    ({"build": {"context": ".", "surprise": 1}}, "build.surprise"),
]


@pytest.mark.parametrize(("service", "key"), REFUSED, ids=[f"{one[1]}-{n}" for n, one in enumerate(REFUSED)])
def test_a_service_may_not(refused, service, key):
    reasons = refused(service)
    assert any(reason.startswith(f"services.web.{key}") for reason in reasons), reasons
    assert all("\n" not in reason for reason in reasons)


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ({"include": ["other.yml"]}, "include"),
        ({"configs": {"x": {"file": "/etc/passwd"}}}, "configs"),
        ({"secrets": {"x": {"environment": "CX_POSTGRES_PASSWORD"}}}, "secrets"),
        ({"models": {"x": {}}}, "models"),
        ({"jobs": {"x": {"image": "y"}}}, "jobs"),
        ({"surprise": {}}, "surprise"),
        ({"volumes": {"x": {"external": True}}}, "volumes.x.external"),
        ({"volumes": {"x": {"driver": "nfs"}}}, "volumes.x.driver"),
        ({"volumes": {"x": {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}}}, "volumes.x.driver_opts"),
        ({"volumes": {"x": {"labels": {"dev.cx.namespace": "a"}}}}, "volumes.x.labels.dev.cx.namespace"),
        ({"networks": {"x": {"external": True}}}, "networks.x.external"),
        ({"networks": {"x": {"driver": "host"}}}, "networks.x.driver"),
        ({"networks": {"x": {"driver": "macvlan"}}}, "networks.x.driver"),
        ({"networks": {"x": {"labels": ["dev.cx.role=x"]}}}, "networks.x.labels.dev.cx.role"),
        ({"services": {"cx-pooler-app": {"image": "x"}}}, "services.cx-pooler-app"),
        ({"services": {"web-cx1": {"image": "x"}}}, "services.web-cx1"),
        ({"services": {"a b": {"image": "x"}}}, "services.a b"),
        ({"services": {"web": []}}, "services.web"),
        ({"services": {"web": {}}}, "services.web"),
        ({"services": []}, "services"),
        ({"services": {f"s{n}": {"image": "x"} for n in range(21)}}, "services"),
    ],
)
def test_a_model_may_not(refused, model, key):
    reasons = refused(model=model)
    assert any(reason.startswith(f"{key}: ") for reason in reasons), reasons


def test_every_refusal_is_tried_above():
    """So that none of them can be switched off without a test that fails."""
    tried = {key for service, _ in REFUSED for key in service}
    assert {key for key, entry in SERVICE.items() if isinstance(entry, Refuse)} <= tried
    builds_tried = {key for service, _ in REFUSED for key in service.get("build", {})}
    assert set(builds.REFUSED) <= builds_tried


def test_every_finding_is_told(refused):
    assert len(refused({"privileged": True, "pid": "host", "devices": ["/dev/x"]}, model={"include": ["x"]})) == 4


def test_a_flood_of_findings_is_cut(refused):
    assert len(refused({f"k{n}": 1 for n in range(1000)})) == 100


# --- what the host's owner may allow


@pytest.mark.parametrize(
    ("service", "allow", "kept"),
    [
        ({"cap_add": ["NET_ADMIN", "chown"]}, "cap_add:NET_ADMIN", {"cap_add": ["CHOWN", "NET_ADMIN"]}),
        (
            {"sysctls": {"net.ipv4.ip_forward": "1"}},
            "sysctl:net.ipv4.ip_forward",
            {"sysctls": {"net.ipv4.ip_forward": "1"}},
        ),
        (
            {"devices": [{"source": "/dev/fuse", "target": "/dev/fuse", "permissions": "rw"}]},
            "device:/dev/fuse",
            {"devices": [{"source": "/dev/fuse", "target": "/dev/fuse", "permissions": "rw"}]},
        ),
        ({"extra_hosts": {"a": ["host-gateway"]}}, "extra_hosts", {"extra_hosts": {"a": ["host-gateway"]}}),
        ({"mem_limit": "2g"}, "memory:1g", {"mem_limit": 1024**3}),
        ({"cpus": 8}, "cpus:4", {"cpus": 4.0}),
        ({"pids_limit": 9999}, "pids:1000", {"pids_limit": 1000}),
        ({"scale": 9}, "replicas:5", {"deploy": {"replicas": 5}}),
        (
            {"volumes": [HOST_MOUNT | {"source": "/srv/x"}]},
            "bind:/srv/x",
            {"volumes": [{"type": "bind", "source": "/srv/x", "target": "/x", "bind": {"create_host_path": False}}]},
        ),
    ],
)
def test_the_owner_may_allow(admitted, service, allow, kept):
    model = admitted(service, allow=(allow,)).services["web"].model
    assert {key: model[key] for key in kept} == kept


@pytest.mark.parametrize("source", ["/srv", "/srv/x/y", "/srv/x/../y", "/"])
def test_an_allowed_path_is_that_path_only(refused, source):
    assert refused({"volumes": [HOST_MOUNT | {"source": source}]}, allow=("bind:/srv/x",))


def test_a_grant_is_for_one_thing_only(refused):
    assert refused({"cap_add": ["SYS_ADMIN"]}, allow=("cap_add:NET_ADMIN", "env_file", "extra_hosts"))


# --- what is kept


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"mem_limit": 0}, "mem_limit: 0 means no limit: made 512m"),
        ({"mem_limit": "0"}, "mem_limit: 0 means no limit: made 512m"),
        ({"cpus": 0}, "cpus: 0 means no limit: made 1"),
        ({"pids_limit": -1}, "pids_limit: -1 means no limit: made 256"),
        ({"healthcheck": {"test": ["CMD", "x"], "interval": "0s"}}, "healthcheck.interval: 0s is made 1s"),
    ],
)
def test_no_limit_is_given_in_silence(admitted, service, said):
    assert [note for note in admitted(service).notes if note.endswith(said)]


@pytest.mark.parametrize(
    ("service", "kept"),
    [
        ({"mem_limit": "100m"}, {"mem_limit": 100 * 1024**2}),
        ({"mem_limit": "4g"}, {"mem_limit": 512 * 1024**2}),
        ({"mem_limit": "0.25g"}, {"mem_limit": 256 * 1024**2}),
        ({"shm_size": "0.25g"}, {"shm_size": 256 * 1024**2}),
        ({"tmpfs": ["/run:size=0.25g"]}, {"tmpfs": ["/run:size=268435456"]}),
        ({"mem_limit": 0}, {"mem_limit": None}),
        (
            {"deploy": {"resources": {"limits": {"memory": "64m", "cpus": "0.1", "pids": 20}}}},
            {"mem_limit": 64 * 1024**2, "cpus": 0.1, "pids_limit": 20, "deploy": None},
        ),
        ({"cpus": 64}, {"cpus": 1.0}),
        ({"cpus": 0}, {"cpus": None}),
        ({"pids_limit": -1}, {"pids_limit": None}),
        ({"pids_limit": 100_000}, {"pids_limit": 256}),
        ({"scale": 100}, {"deploy": {"replicas": 3}}),
        ({"shm_size": "8g"}, {"shm_size": 512 * 1024**2}),
        ({"tmpfs": ["/run:size=8g,mode=1777"]}, {"tmpfs": ["/run:size=536870912,mode=1777"]}),
        ({"stop_grace_period": "10m"}, {"stop_grace_period": "60s"}),
        (
            {"healthcheck": {"test": ["CMD", "x"], "interval": "1ns", "timeout": "1h", "retries": 3}},
            {"healthcheck": {"test": ["CMD", "x"], "interval": "1s", "timeout": "600s", "retries": 3}},
        ),
        ({"healthcheck": {"disable": True}}, {"healthcheck": {"disable": True}}),
        ({"environment": {"A": "$x ${y}", "B": None}}, {"environment": {"A": "$x ${y}"}}),
        ({"command": ["sh", "-c", "echo $HOME"]}, {"command": ["sh", "-c", "echo $HOME"]}),
        ({"security_opt": ["no-new-privileges:true"]}, {"security_opt": None}),
        ({"privileged": False, "cap_drop": ["ALL"], "network_mode": "bridge"}, {"privileged": None, "cap_drop": None}),
        (
            {"ulimits": {"nofile": 1024, "memlock": {"soft": -1, "hard": -1}}},
            {"ulimits": {"nofile": {"soft": 1024, "hard": 1024}, "memlock": {"soft": -1, "hard": -1}}},
        ),
        ({"user": 1000}, {"user": "1000"}),
        ({"init": True, "read_only": True}, {"init": True, "read_only": True}),
        ({"x-mine": {"privileged": True}}, {"x-mine": None}),
        *[({key: "x"}, {key: None}) for key in ("container_name", "hostname", "platform", "cpuset")],
        ({"restart": "unless-stopped"}, {"restart": "always"}),
        *[({"restart": one}, {"restart": one}) for one in ("always", "no", "on-failure", "on-failure:3")],
        ({"restart": "on-failure:0"}, {"restart": "on-failure"}),
        ({"deploy": {"restart_policy": {"condition": "none"}}}, {"restart": "no"}),
        ({"deploy": {"restart_policy": {"condition": "any", "delay": "5s"}}}, {"restart": "always"}),
        ({"deploy": {"restart_policy": {"condition": "on-failure", "max_attempts": 2}}}, {"restart": "on-failure:2"}),
        ({"deploy": {"restart_policy": {"max_attempts": 2}}}, {"restart": None}),
        ({"restart": "no", "deploy": {"restart_policy": {"condition": "any"}}}, {"restart": "no"}),
        *[({key: {"driver": "x"}}, {key: None}) for key in ("logging", "annotations", "develop", "blkio_config")],
    ],
)
def test_what_is_kept_of_a_service(admitted, service, kept):
    model = admitted(service).services["web"].model
    assert {key: model.get(key) for key in kept} == kept


def test_a_mount_of_the_repository_is_a_subpath(admitted, checkout):
    mounts = [
        HOST_MOUNT | {"source": str(checkout / "app"), "read_only": True, "bind": {"create_host_path": True}},
        HOST_MOUNT | {"source": "in/settings.ini", "target": "/y"},
        HOST_MOUNT | {"source": ".", "target": "/z"},
    ]
    admission = admitted({"volumes": mounts})
    assert admission.services["web"].model["volumes"] == [
        {"type": "volume", "source": "", "target": "/x", "read_only": True, "volume": {"subpath": "app"}},
        {"type": "volume", "source": "", "target": "/y", "volume": {"subpath": "app/settings.ini"}},
        {"type": "volume", "source": "", "target": "/z", "volume": {"subpath": "."}},
    ]
    assert admission.mounted == ("app", "app/settings.ini", ".")


def test_a_mount_of_what_is_not_there_is_a_volume(admitted):
    admission = admitted({"volumes": [HOST_MOUNT | {"source": "data/db"}]})
    assert admission.services["web"].model["volumes"] == [{"type": "volume", "source": "path-data-db", "target": "/x"}]
    assert admission.volumes == ("path-data-db",)
    assert "data/db is not in the repository" in admission.notes[0]


def test_volumes(admitted):
    mounts = [
        {"type": "volume", "source": "data", "target": "/a", "volume": {"nocopy": True, "subpath": "x/y"}},
        {"type": "volume", "target": "/b", "volume": {}},
        {"type": "tmpfs", "target": "/c", "tmpfs": {"size": "9g", "mode": 0o1777}},
    ]
    admission = admitted({"volumes": mounts}, model={"volumes": {"data": {"name": "production", "driver": "local"}}})
    assert admission.services["web"].model["volumes"] == [
        {"type": "volume", "source": "data", "target": "/a", "volume": {"nocopy": True, "subpath": "x/y"}},
        {"type": "volume", "source": "", "target": "/b"},
        {"type": "tmpfs", "target": "/c", "tmpfs": {"size": 512 * 1024**2, "mode": 0o1777}},
    ]
    assert admission.volumes == ("data",)


def test_a_build(admitted):
    build = {"context": "in", "args": {"A": "$x", "B": None}, "network": "default", "cache_to": ["x"], "tags": ["y"]}
    one = admitted({"build": build, "image": "mine:1"}).services["web"]
    assert (one.build.context, one.build.dockerfile, dict(one.build.args)) == ("app", "app/Dockerfile", {"A": "$x"})
    assert one.model["image"] == ""


def test_names_in_the_network(admitted):
    admission = admitted(
        {"networks": {"back": {"aliases": ["api", "web"], "ipv4_address": "10.0.0.5"}}, "container_name": "shop_web"},
        model={"networks": {"back": {"internal": True}}},
    )
    assert admission.services["web"].aliases == ("api", "shop_web")
    assert any("ipv4_address" in note for note in admission.notes)


def test_links_are_names_for_the_other(admitted):
    services = {"web": {"image": "x", "links": ["db:database", "db", "cx-x:y", "db:cx-x"]}, "db": {"image": "y"}}
    assert admitted(model={"services": services}).services["db"].aliases == ("database",)


def test_ports_labels_and_expose_are_read_and_dropped(admitted):
    ports = [{"target": 53, "protocol": "udp"}, {"target": 80, "protocol": "tcp", "published": "8080"}, {"target": "x"}]
    one = admitted({"ports": ports, "expose": ["81", "82/udp", "83-85"], "labels": {"a": 1}}).services["web"]
    assert (one.published, one.exposed, one.labels) == ((80,), (81, 83), {"a": "1"})
    assert set(one.model) == {"image"}


def test_a_service_without_replicas_is_left_out(admitted):
    need = {"condition": "service_started", "required": True}
    services = {"web": {"image": "x", "depends_on": {"job": need}}, "job": {"image": "y", "scale": 0}}
    admission = admitted(model={"services": services})
    assert list(admission.services) == ["web"]
    assert not admission.services["web"].model["depends_on"]


# --- what well-known Compose files ask for


@pytest.mark.parametrize("hosts", [["host.docker.internal=host-gateway"], {"host.docker.internal": ["host-gateway"]}])
def test_a_name_for_the_host_is_left_out(admitted, hosts):
    admission = admitted({"extra_hosts": hosts})
    assert "extra_hosts" not in admission.services["web"].model
    assert admission.notes == ("services.web.extra_hosts: is left out: a preview does not reach the host",)


def test_a_volume_in_memory_is_an_ordinary_one(admitted, refused):
    options = {"type": "tmpfs", "device": "tmpfs"}
    assert admitted(model={"volumes": {"tmp": {"driver_opts": options}}}).services
    assert refused(model={"volumes": {"tmp": {"driver_opts": options | {"o": "bind", "device": "/"}}}})


def test_a_service_that_runs_what_another_builds_is_built_too(admitted):
    build = {"context": ".", "dockerfile": "Dockerfile"}
    admission = admitted(
        model={
            "services": {
                "web": {"image": "shop:dev", "build": build},
                "worker": {"image": "shop:dev", "command": ["work"]},
                "cache": {"image": "redis:8"},
            }
        }
    )
    assert admission.services["worker"].build == admission.services["web"].build
    assert admission.services["worker"].model["image"] == ""
    assert admission.services["cache"].build is None
    assert "services.worker: is built as web is, whose image it runs" in admission.notes


# key of a service or of the model -> what the one line names: the key, why, and what to write instead
TOLD = [
    ({"env_file": [".env"]}, "services.web.env_file: cx reads no env_file: write the values under environment"),
    ({"env_file": [".env"]}, '(allow = ["env_file"])'),
    (
        {"extends": {"service": "x"}},
        "services.web.extends: takes in another service, or another file's: write its keys",
    ),
    ({"secrets": ["x"]}, "services.web.secrets: cx gives none: mount the file from the repository instead (volumes)"),
    (
        {"privileged": True},
        "services.web.privileged: gives the container the host; change it, or leave the service out",
    ),
    ({"network_mode": "host"}, "network; without it the services reach each other by their names"),
    ({"security_opt": ["label=disable"]}, "only no-new-privileges may be there"),
]


@pytest.mark.parametrize(("service", "said"), TOLD, ids=[next(iter(one[0])) for one in TOLD])
def test_a_refusal_says_what_to_do(tmp_path, service, said):
    with pytest.raises(Refused) as caught:
        screen({"services": {"web": {"image": "x"} | service}}, Look(tmp_path, "cx", Grants(), Caps()), "compose.yml")
    assert said in str(caught.value)
    assert str(caught.value).endswith("(replicas = 0 in cx.toml): docs/guide.md says how")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/etc/localtime", '/etc/localtime leads out of the repository (allow = ["bind:/etc/localtime"])'),
        ("/var/run/docker.sock", "/var/run/docker.sock is the engine itself: whoever holds it has the host"),
    ],
)
def test_a_mount_of_the_host_says_what_it_would_mount(refused, source, said):
    assert refused({"volumes": [HOST_MOUNT | {"source": source}]}) == (f"services.web.volumes[0].source: {said}",)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            {"volumes": {"data": {"external": True}}},
            "volumes.data.external: is not the namespace's own: without external",
        ),
        (
            {"networks": {"edge": {"external": True}}},
            "networks.edge.external: is not the namespace's own: a namespace has",
        ),
        ({"include": ["base.yml"]}, "include: takes in another file, which cx does not read: write all into one"),
    ],
)
def test_a_refusal_of_the_model_says_what_to_do(refused, model, said):
    assert refused(model=model)[0].startswith(said)


def test_with_the_grant_a_missing_env_file_is_named(checkout):
    look = Look(checkout, "cx", Grants.of(["env_file"]), Caps())
    service = {"image": "x", "env_file": ["not-there.env", {"path": "nor-this.env", "required": False}]}
    with pytest.raises(Refused, match=r"web\.env_file: not-there\.env is not in the repository") as caught:
        screen({"services": {"web": service}}, look, "compose.yml")
    assert len(caught.value.reasons) == 1


def test_the_first_format_of_compose_is_named(tmp_path):
    """As RocketChat and zulip once had it: services at the top."""
    look = Look(tmp_path, "cx", Grants(), Caps())
    with pytest.raises(Invalid, match="services: is not there: this is the first format of Compose; put all of it"):
        screen({"db": {"image": "mongo"}, "web": {"image": "x", "links": ["db"]}}, look, "docker-compose.yml")


@pytest.mark.parametrize(("value", "why"), [("", "is empty"), (None, "has no value here")])
def test_a_proxy_that_is_none_is_left_out(admitted, value, why):
    admission = admitted({"build": {"context": ".", "args": {"HTTP_PROXY": value, "A": "1"}}})
    assert admission.services["web"].build.args == {"A": "1"}
    (note,) = admission.notes
    assert note.startswith(f"services.web.build.args.HTTP_PROXY: {why}")
