"""`avi-se` with a mistake in it: `python -m tests.dataplane.faultyengine MODULE CLASS METHOD FILE run …`.

The method divides by zero as soon as the file is there. The other words are those of `avi-se`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataplane.__main__ import main


def plant(module: str, owner: str, method: str, file: Path) -> None:
    """Make a class's method wrong as soon as the file is there."""
    where = getattr(importlib.import_module(module), owner)
    right: Callable[..., Any] = getattr(where, method)

    def wrong(*arguments: Any) -> Any:
        return 1 / 0 if file.exists() else right(*arguments)

    setattr(where, method, wrong)


if __name__ == "__main__":
    plant(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    sys.exit(main(sys.argv[5:]))
