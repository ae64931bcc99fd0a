"""Forges: where pull requests come from and are reported to, one folder each."""
