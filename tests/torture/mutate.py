"""JSON values that are nearly right."""

from __future__ import annotations

import copy
import random
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**64, 10**40, 1.5, "", "x", "10.1.1.1", "<sensitive>", "\x1b[2J", "\u202e"),
    *(
        [],
        {},
        [[]],
        [None],
        ["x"],
        [{}],
        {"": {}},
        {"addr": 5},
        {"addr": "x", "type": "V4"},
        {"type": []},
        {"name": {}},
    ),
    *("/api/pool/?name=p1", "/api/pool/pool-1#x", "/api/x/?name=", "/api/tenant/?name=other", "a" * 5000, "é\n", "%00"),
)
"""Values to put where others are expected."""


def mutated(chance: random.Random, value: Any, times: int = 1) -> Any:
    """A copy with some places changed: replaced, removed, moved, doubled."""
    changed = copy.deepcopy(value)
    for _ in range(times):
        places = list(_places(changed))
        if not places:
            return chance.choice(ODD)
        held, key = chance.choice(places)
        match chance.randrange(6):
            case 0 | 1 | 2:
                held[key] = copy.deepcopy(chance.choice(ODD))
            case 3:
                del held[key]
            case 4:
                other, name = chance.choice(places)
                held[key] = copy.deepcopy(other[name])
            case _ if isinstance(held, list):
                held.insert(key, copy.deepcopy(held[key]))
            case _:
                held[chance.choice(["name", "uuid", "type", "tenant_ref", "vip", "ip", "é"])] = copy.deepcopy(held[key])
    return changed


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a value: what holds it, and under which name or number."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        held = waiting.pop()
        names = list(held) if isinstance(held, dict) else range(len(held)) if isinstance(held, list) else []
        found += [(held, name) for name in names]
        waiting += [held[name] for name in names]
    return found
