"""tools.test_wheel: what is copied, and what the program answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.test_wheel import copy_tests, report


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_tests_are_copied_without_sources_and_tests_of_the_workspace(tmp_path: Path) -> None:
    root, checkout = tmp_path / "root", tmp_path / "checkout"
    for name in (
        "pyproject.toml",
        "tests/core/test_a.py",
        "tests/core/__pycache__/a.pyc",
        "tests/tools/test_b.py",
        "antflow-core/src/antflow/__init__.py",
        "tools/test_wheel.py",
        "docs/how-to/crawler.md",
    ):
        write(root / name)
    copy_tests(checkout, root)
    copied = {str(path.relative_to(checkout)) for path in checkout.rglob("*") if path.is_file()}
    assert copied == {"pyproject.toml", "tests/core/test_a.py", "docs/how-to/crawler.md"}


@pytest.mark.parametrize(
    ("outcomes", "required", "code"),
    [
        ({"3.11": "passed", "3.12": "absent, skipped"}, [], 0),
        ({"3.11": "passed", "3.12": "absent, skipped"}, ["3.12"], 1),
        ({"3.11": "passed", "3.12": "FAILED"}, ["3.11"], 1),
        ({"3.11": "absent, skipped"}, [], 1),
        ({"3.11": "passed"}, ["3.11"], 0),
    ],
)
def test_the_exit_code_says_whether_all_that_is_required_passed(
    outcomes: dict[str, str], required: list[str], code: int
) -> None:
    assert report(outcomes, required) == code
