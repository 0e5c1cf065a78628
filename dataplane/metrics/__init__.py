"""Metrics of an engine for Prometheus, and its page for browsers: gathered from the engine, served over HTTP."""
