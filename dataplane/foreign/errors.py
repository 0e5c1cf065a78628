"""What is wrong with bytes from outside.

ForeignError(ValueError)   not what was expected: what it is, and where
"""

from __future__ import annotations


class ForeignError(ValueError):
    """Bytes from outside are not what was expected. place: where, in a form that people can find ("line 3, column 7",
    "Pool[2].servers"), "" = the whole."""

    def __init__(self, what: str, place: str = "") -> None:
        super().__init__(f"{what}, at {place}" if place else what)
        self.what = what
        self.place = place
