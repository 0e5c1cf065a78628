"""The store that several hosts share: a client of etcd, and the log of commits in it."""
