"""Tasks whose end somebody hears of.

asyncio keeps what a task raised until somebody asks, and nobody asks one that is to run for ever. These tell the loop's
exception handler (`loop.set_exception_handler`), like callbacks do: with the key `fatal` where nothing is right without
them any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def forever(job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run what must never end: its end is fatal."""
    return _told(job, fatal=True)


def once(job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run something that others can do without."""
    return _told(job, fatal=False)


def tell(what: str, exc: Exception) -> None:
    """Report an unexpected error that others can do without."""
    asyncio.get_running_loop().call_exception_handler({"message": what, "exception": exc})


def _told(job: Coroutine[Any, Any, None], *, fatal: bool) -> asyncio.Task[None]:
    name = getattr(job, "__qualname__", str(job))

    def ended(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        exc = task.exception()
        if exc is not None or fatal:
            what = f"{name} ended" if fatal else f"{name} failed"
            told = {"message": what, "task": task, "fatal": fatal}
            task.get_loop().call_exception_handler(told if exc is None else told | {"exception": exc})

    task = asyncio.get_running_loop().create_task(job)
    task.add_done_callback(ended)
    return task
