"""Finds out what is wrong with a server by probing it from the engine."""
