"""A GitHub of the tests' own: stateful, over HTTP, its answers built on GitHub's published examples."""
