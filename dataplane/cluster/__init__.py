"""What several hosts share: a client of etcd, the log of commits in it, and what they ask each other through it."""
