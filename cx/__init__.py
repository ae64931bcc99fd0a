"""cx: a preview environment for every pull request, on a Docker host that you own."""

__version__ = "0.1.0"
