"""What the shell cannot do without, imported and nothing else: what its start is compared with."""

import sqlite3  # noqa: F401

import pyparsing  # noqa: F401
import rich.console
import rich.table  # noqa: F401
