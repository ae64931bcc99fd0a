"""Masking rules in the SQL of each kind."""
