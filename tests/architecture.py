"""What the sources say of their structure: modules, imports, cycles, and the tables of packages in the rooms' pages.

Pure of the tests: `faults(root)` takes a checkout and returns what is wrong with it, so that a planted mistake can be
looked for, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOMS = ("grammar", "avi_shell", "dataplane")
NOTHING = "—"
"""What a table says where a package may import nothing of ours."""
_ROW = re.compile(r"^\| `([\w.]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Row:
    """A package in a room's table."""

    holds: str  # one sentence
    imports: tuple[str, ...]  # packages and modules of ours that it may import


@dataclass(frozen=True, slots=True)
class Source:
    """What is looked at of a module's text."""

    imports: tuple[tuple[int, str | None, tuple[str, ...]], ...]  # level, module (None: `import`), names
    docstring: str
    has_code: bool  # it holds more than a docstring


def _source(path: Path) -> Source:
    return _parsed(path.read_text("utf-8"))


@cache
def _parsed(text: str) -> Source:
    """Parsed once, however many checkouts hold the same text."""
    tree = ast.parse(text)
    imports: list[tuple[int, str | None, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.append((0, None, tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return Source(
        tuple(imports), ast.get_docstring(tree) or "", any(not isinstance(node, ast.Expr) for node in tree.body)
    )


def modules(root: Path) -> dict[str, Path]:
    """Every module of the rooms by its dotted name; a package's `__init__` by the package's."""
    found = {}
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: Mapping[str, Path]) -> set[str]:
    """The modules of ours that a module imports anywhere: at its top, in functions, for types alone."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for level, origin, names in _source(path).imports:
        if origin is None:
            found |= set(names)
        else:
            parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            module = ".".join([*parents, *([origin] if origin else [])])
            found |= {one if (one := f"{module}.{inner}") in known else module for inner in names}
    return {one for one in found if one.split(".")[0] in ROOMS} - {name}


def package_of(name: str, path: Path) -> str:
    """The package of a module: what it stands in; a module at the top of a room stands for itself, but in `grammar`."""
    if name.count(".") == 0 or path.name == "__init__.py":
        return name
    parent = name.rpartition(".")[0]
    return name if parent in ROOMS and parent != "grammar" else parent


def table(root: Path) -> dict[str, Row]:
    """The tables of packages in the rooms' pages."""
    found = {}
    for room in ROOMS:
        page = root / room / "README.md"
        text = page.read_text("utf-8").partition("## Packages")[2].partition("\n## ")[0] if page.exists() else ""
        for name, holds, allowed in _ROW.findall(text):
            found[name] = Row(holds, tuple(re.findall(r"`([\w.]+)`", allowed)))
    return found


def cycles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The strongly connected parts of a graph that have more than one node (Tarjan 1972)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        numbers[node] = lowest[node] = len(numbers)
        stack.append(node)
        for after in graph.get(node, ()):
            if after not in numbers:
                visit(after)
                lowest[node] = min(lowest[node], lowest[after])
            elif after in stack:
                lowest[node] = min(lowest[node], numbers[after])
        if lowest[node] == numbers[node]:
            at = stack.index(node)
            part = stack[at:]
            del stack[at:]
            if len(part) > 1:
                found.append(sorted(part))

    for node in sorted(graph):
        if node not in numbers:
            visit(node)
    return found


def faults(root: Path) -> list[str]:
    """What is wrong with a checkout's structure, a sentence each; empty where all is as its pages say."""
    known, rows = modules(root), table(root)
    edges = {name: imports(name, path, known) for name, path in known.items()}
    return [
        *_unlisted(known, rows),
        *_untold(root, known, rows),
        *_forbidden(known, edges, rows),
        *_circles(known, edges),
    ]


def _unlisted(known: Mapping[str, Path], rows: Mapping[str, Row]) -> Iterator[str]:
    """Packages that no table names, and rows without a package."""
    there = {package_of(name, path) for name, path in known.items() if _has_code(path)}
    there -= {name for name in there if name in ROOMS and name != "grammar" and not _imports_or_defines(known[name])}
    for name in sorted(there - rows.keys()):
        yield f"no table names {name}"
    for name in sorted(rows.keys() - {package_of(name, path) for name, path in known.items()}):
        yield f"a table names {name}, which is not there"


def _has_code(path: Path) -> bool:
    return path.name != "__init__.py" or _imports_or_defines(path)


def _imports_or_defines(path: Path) -> bool:
    return _source(path).has_code


def _untold(root: Path, known: Mapping[str, Path], rows: Mapping[str, Row]) -> Iterator[str]:
    """Rows whose sentence is not the first one of the package's docstring."""
    for name, row in rows.items():
        if name not in known:
            continue
        told = " ".join(_source(known[name]).docstring.split())
        if not (told == row.holds or told.startswith(f"{row.holds} ")) or not row.holds.endswith("."):
            yield f"the docstring of {name} does not begin with what its row says: {row.holds!r}"


def _forbidden(known: Mapping[str, Path], edges: Mapping[str, set[str]], rows: Mapping[str, Row]) -> Iterator[str]:
    """Imports that the tables do not allow, and what they allow to nobody's use."""
    used: dict[str, set[str]] = {}
    for name, targets in edges.items():
        package = package_of(name, known[name])
        row = rows.get(package)
        if row is None:
            continue
        for target in sorted(targets):
            if target in known and package_of(target, known[target]) == package:
                continue
            allowed = {one for one in row.imports if target == one or _directly_in(target, one, known)}
            used.setdefault(package, set()).update(allowed)
            if not allowed:
                yield f"{name} imports {target}, which {package} may not"
    for package, row in rows.items():
        for one in row.imports:
            if one not in used.get(package, ()):
                yield f"{package} may import {one}, but does not"


def _directly_in(target: str, package: str, known: Mapping[str, Path]) -> bool:
    """Whether a module stands in a package itself, not in a package within it."""
    return package in known and known[package].name == "__init__.py" and package_of(target, known[target]) == package


def _circles(known: Mapping[str, Path], edges: Mapping[str, set[str]]) -> Iterator[str]:
    """Modules, and packages, that import each other in a circle."""
    for part in cycles(edges):
        yield f"modules import each other in a circle: {', '.join(part)}"
    packages: dict[str, set[str]] = {}
    for name, targets in edges.items():
        here = package_of(name, known[name])
        packages.setdefault(here, set()).update(
            {package_of(one, known[one]) for one in targets if one in known} - {here}
        )
    for part in cycles(packages):
        yield f"packages import each other in a circle: {', '.join(part)}"
