"""tools.sizes: how long files and functions are."""

from __future__ import annotations

from pathlib import Path

from tools.sizes import Size, functions_of, listing, report
from tools.workspace import packages

TEXT = '''"""A module."""


@decorated
def two():
    return 1


class A:
    async def three(self):
        """Say so."""
        return 1
'''


def test_functions_are_measured_from_their_first_line_to_their_last(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(TEXT, encoding="utf-8")
    found = sorted(functions_of(path))
    assert [(size.lines, size.place.rpartition(" ")[2]) for size in found] == [
        (2, "two"),
        (3, "three"),
    ]


def test_what_is_above_the_guide_is_named_longest_first() -> None:
    sizes = [Size(10, "a"), Size(50, "b"), Size(40, "c")]
    first, *rest = listing("functions", sizes, most=35)
    assert "3 functions: half have up to 40 lines" in first
    assert [line.split() for line in rest] == [["50", "b"], ["40", "c"]]


def test_every_package_is_reported() -> None:
    for package in packages():
        assert next(report(package)).startswith(f"{package.name}: ")
