"""Report how long the files and functions of each package are: a guide, not a gate."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from tools.workspace import ROOT, Package, packages

LONG_FILE, LONG_FUNCTION = 200, 35


@dataclass(frozen=True, order=True)
class Size:
    """How long something is.

    Args:
        lines: from its first to its last, in files blank ones included.
        place: its file, and of a function its line and name.
    """

    lines: int
    place: str


def main() -> None:
    for package in packages():
        print(*report(package), sep="\n", end="\n\n")


def report(package: Package) -> Iterator[str]:
    paths = sorted(package.sources.rglob("*.py"))
    files = [size_of(path) for path in paths]
    functions = [size for path in paths for size in functions_of(path)]
    yield f"{package.name}: {sum(size.lines for size in files)} lines"
    yield from listing("files", files, LONG_FILE)
    yield from listing("functions", functions, LONG_FUNCTION)


def listing(what: str, sizes: list[Size], most: int) -> Iterator[str]:
    """Yield a line about sizes, and one for each that is above the guide, longest first."""
    lines = [size.lines for size in sizes]
    tenth = quantiles(lines, n=10)[-1] if len(lines) > 1 else max(lines, default=0)
    middle = median(lines) if lines else 0
    long = sorted((size for size in sizes if size.lines > most), reverse=True)
    yield (
        f"  {len(sizes)} {what}: half have up to {middle:.0f} lines, nine in ten up to "
        f"{tenth:.0f}; {len(long)} more than {most}"
    )
    yield from (f"    {size.lines:5}  {size.place}" for size in long)


def size_of(path: Path) -> Size:
    return Size(len(path.read_text(encoding="utf-8").splitlines()), shown(path))


def functions_of(path: Path) -> Iterator[Size]:
    """Yield the size of each function of a file, without its decorators."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Size(lines, f"{shown(path)}:{node.lineno} {node.name}")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


if __name__ == "__main__":
    main()
