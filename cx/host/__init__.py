"""Builds the object graph from the host configuration. The only place that knows every adapter."""

from cx.host.host import Host, load_settings, open_host

__all__ = ["Host", "load_settings", "open_host"]
