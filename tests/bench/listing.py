"""Prints which function of a checkout's bench measures which row: `PYTHONPATH=CHECKOUT python -P …/listing.py`."""

import json

from tests.bench.rows import ROWS

print(json.dumps({row.key: row.measure for row in ROWS}))
