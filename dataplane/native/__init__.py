"""Loops too slow in Python, compiled; each has a Python twin that defines it."""
