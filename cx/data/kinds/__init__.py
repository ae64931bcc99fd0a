"""Kinds of databases and stores that a clone can be; `table` lists them, one file each describes them."""
