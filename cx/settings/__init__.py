"""The host's configuration: one TOML file, each of its keys an environment variable too."""

from cx.schema import Secret
from cx.settings.keys import HostFile, Settings
from cx.settings.loading import default_path, load, settings_document

__all__ = ["HostFile", "Secret", "Settings", "default_path", "load", "settings_document"]
