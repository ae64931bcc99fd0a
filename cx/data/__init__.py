"""Data of previews: goldens made from sources, masked on the way; clones made from goldens.

databases   the core's port: clone, reset, drop, and what an app reaches its data through
copies      what people do with a clone: snapshot, restore, branch, compare, dump
shared/     goldens and clones that are databases of the server which all previews share
volumes/    goldens and clones that are volumes, with a server for each preview or none
kinds/      PostgreSQL, MariaDB, MySQL, Redis, files: how a golden is filled, and how a server runs on a clone
masking/    rules for rows, the same for every kind; dialects/ has them in SQL
refresh/    from a source to a masked dump that has been restored
workbench/  containers and volumes in which that is done
values, errors, marks, session: what all of them share
"""
