"""Probes: one run of a monitor on the data's path, a module a type."""
