"""The environment that an operator gives to a monitor's script: `command_variables`, words NAME=VALUE as for a shell.

A script gets no variable that changes how a program is loaded, or how the C library behaves in programs with rights:
glibc itself ignores these in such programs (`sysdeps/generic/unsecvars.h`, ld.so(8)).
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOADER = re.compile(
    "LD_.*|GLIBC_TUNABLES|GCONV_PATH|GETCONF_DIR|HOSTALIASES|LOCALDOMAIN|LOCPATH|MALLOC_.*|NIS_PATH|NLSPATH"
    "|RESOLV_HOST_CONF|RES_OPTIONS|TMPDIR|TZDIR"
)


def _words(text: str) -> list[str]:
    import shlex  # late: few sessions need it, and all would wait for it

    try:
        return shlex.split(text)
    except ValueError as exc:
        raise ValueError(f"command_variables: {exc}") from None


def parse(text: str) -> dict[str, str]:
    """The variables by name. Raises ValueError with what is wrong, and what was expected, in words."""
    found = {}
    for word in _words(text):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ValueError(f"command_variables has {word!r}, expected NAME=VALUE")
        if not _NAME.fullmatch(name):
            raise ValueError(f"command_variables has {name!r}, expected a name of letters, digits and _")
        if _LOADER.fullmatch(name):
            raise ValueError(f"command_variables has {name}, which steers the dynamic loader or the C library")
        found[name] = value
    return found
