"""How an engine's log is written: for a terminal, for systemd's journal, or as JSON for programs."""

from __future__ import annotations

import json
import logging
import os
import time
from typing import Any, TextIO

from dataplane.events.model import Event, Severity

TEXT, JOURNAL, JSON, AUTO = "text", "journal", "json", "auto"
FORMATS = (AUTO, TEXT, JOURNAL, JSON)
"""What `--log-format` takes. auto: journal where standard error is systemd's journal, else text."""

LEVELS = {
    Severity.CRITICAL: logging.CRITICAL,
    Severity.ERROR: logging.ERROR,
    Severity.WARNING: logging.WARNING,
    Severity.NOTICE: logging.INFO,
    Severity.INFO: logging.INFO,
}
"""The level of `logging` for each severity."""
_DEBUG = 7
"""syslog's severity for messages to developers only."""
_COLOURS = {Severity.CRITICAL: "\33[1;31m", Severity.ERROR: "\33[31m", Severity.WARNING: "\33[33m"}


def start(wanted: str, stream: TextIO, level: int = logging.INFO) -> None:
    """Log to a stream from now on. wanted: one of FORMATS."""
    chosen = wanted if wanted != AUTO else JOURNAL if is_journal(stream) else TEXT
    handler = logging.StreamHandler(stream)
    if chosen == JSON:
        handler.setFormatter(_Json())
    elif chosen == JOURNAL:
        handler.setFormatter(_Journal())
    else:
        handler.setFormatter(_Text(coloured=stream.isatty() and not os.environ.get("NO_COLOR")))
    logging.basicConfig(level=level, handlers=[handler])


def is_journal(stream: TextIO) -> bool:
    """Whether a stream is connected to systemd's journal: it says so by device and inode (JOURNAL_STREAM in
    systemd.exec(5))."""
    try:
        told = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{told.st_dev}:{told.st_ino}"


def _severity(record: logging.LogRecord) -> Severity | None:
    """The severity of a log record. None: it is for developers only."""
    if (event := _event(record)) is not None:
        return event.severity
    return next((severity for severity, level in LEVELS.items() if level <= record.levelno), None)


def _event(record: logging.LogRecord) -> Event | None:
    event = getattr(record, "event", None)
    return event if isinstance(event, Event) else None


class _Text(logging.Formatter):
    def __init__(self, *, coloured: bool) -> None:
        super().__init__("%(asctime)s %(name)s: %(severity)s%(message)s")
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        severity = _severity(record)
        told = f"{severity.word}: " if severity is not None and severity <= Severity.WARNING else ""
        if told and severity is not None and self._coloured:
            told = f"{_COLOURS[severity]}{told}\33[0m"
        record.severity = told
        return super().format(record)


class _Journal(logging.Formatter):
    """Each line begins with its severity (sd-daemon(3)); the journal itself has the time and who it was."""

    def format(self, record: logging.LogRecord) -> str:
        severity = _severity(record)
        prefix = f"<{_DEBUG if severity is None else int(severity)}>"
        return "\n".join(prefix + line for line in super().format(record).split("\n"))


class _Json(logging.Formatter):
    """Writes one JSON object a line: `Event.data` with the time; for other messages time, severity and text."""

    def format(self, record: logging.LogRecord) -> str:
        severity, event = _severity(record), _event(record)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told: dict[str, Any] = {"time": f"{stamp}.{int(record.msecs):03}Z"}
        if event is not None:
            return json.dumps(told | event.data())
        told |= {"severity": "debug" if severity is None else severity.word, "text": record.getMessage()}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)
