"""Placement: decisions and what they are made of."""
