"""Jobs: one deployment or deletion each, in a process that has no token."""
