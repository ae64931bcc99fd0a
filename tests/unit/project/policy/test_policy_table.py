"""The policy's tables say something of every key that Compose knows, and nothing of others."""

from __future__ import annotations

from cx.project.policy import builds, table

# The keys of Compose's schema, of version 5.6; written out, so that a new one is a decision.
SERVICE = """
annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name
cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec
depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file
environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation
label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit models
network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_start pre_stop
privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale secrets security_opt
shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user
userns_mode uts volumes volumes_from working_dir
"""
TOP = "version name include services models networks volumes secrets configs jobs"
BUILD = """
context dockerfile dockerfile_inline entitlements args ssh labels cache_from cache_to no_cache no_cache_filter
additional_contexts network provenance sbom pull target shm_size extra_hosts isolation privileged secrets tags
ulimits platforms
"""
DEPLOY = "mode endpoint_mode replicas labels rollback_config update_config resources restart_policy placement"
VOLUME = "name driver driver_opts external labels"
NETWORK = "name driver driver_opts ipam external internal enable_ipv4 enable_ipv6 attachable labels"

# What may leave the policy at all. Longer only after thinking about what the new key can reach.
KEPT = """
image command entrypoint environment user group_add working_dir init stop_signal stop_grace_period healthcheck
restart shm_size ulimits volumes tmpfs read_only devices extra_hosts cap_add sysctls
"""
USED = """
build depends_on labels mem_limit cpus pids_limit deploy scale networks links expose ports container_name
"""


def test_every_key_has_its_entry():
    assert set(table.SERVICE) == set(SERVICE.split())
    assert set(table.TOP) == set(TOP.split())
    assert set(table.DEPLOY) == set(DEPLOY.split())
    assert set(table.VOLUME) == set(VOLUME.split())
    assert set(table.NETWORK) == set(NETWORK.split())
    assert builds.TAKEN | builds.DROPPED | set(builds.REFUSED) == set(BUILD.split())


def test_what_is_kept_is_kept_on_purpose():
    assert {key for key, entry in table.SERVICE.items() if isinstance(entry, table.Keep)} == set(KEPT.split())
    assert {key for key, entry in table.SERVICE.items() if isinstance(entry, table.Use)} == set(USED.split())


def test_a_build_key_is_treated_once():
    assert not builds.TAKEN & builds.DROPPED
    assert not set(builds.REFUSED) & (builds.TAKEN | builds.DROPPED)
