"""Engines of several hosts know each other: what each one says of itself in etcd, and what the others say there."""
