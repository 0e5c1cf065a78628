"""`make torture`: what must hold however often it is tried: kills, damage, full disks, mutated input, long sessions.

`python -m tests.torture NAME --count N` runs one part. A part is a module with a function `run` and a row in `parts`;
the suite runs each with a small count (`tests/torture/test_torture.py`).
"""
