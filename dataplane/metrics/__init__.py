"""Metrics of an engine for Prometheus: gathered from the engine, written as text, served over HTTP."""
