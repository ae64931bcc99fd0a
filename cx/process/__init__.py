"""Processes: locks that die with their holder, sessions that end as a whole, copies that work beside this one."""
