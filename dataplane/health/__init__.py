"""Health monitors: which probes run, when, on which path, and what follows from their outcomes."""
