"""Replays a capture through a driver's decision, without a network."""
