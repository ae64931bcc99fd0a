"""Goldens and clones that are volumes: a server for each preview, or a volume of a project's.

`clones` fills the core's port, `goldens` refreshes, `copies` is for people. What differs between databases is in
`cx.data.kinds`; the volumes themselves are handled in `cx.data.workbench`.
"""
