"""The page about hooks says what the specs say, and every hook has a user and a test."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from antflow import hookspecs, tracker

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
SPECS = {
    name: f"{name}({', '.join(inspect.signature(spec).parameters)})"
    for name, spec in vars(hookspecs).items()
    if name.startswith("antflow_")
}
HEADING = re.compile(r"^### `(.*)`$", re.MULTILINE)
IMPLEMENTED = re.compile(r"@hookimpl(?:\(.*\))?\s+(?:async )?def (antflow_\w+)\(")
USERS = [
    *(ROOT / "examples").glob("antflow-*/src/**/*.py"),
    *ROOT.glob("antflow-*/src/**/*.py"),
]
TESTS = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]


def implemented_in(text: str) -> set[str]:
    return set(IMPLEMENTED.findall(text))


def test_there_are_hooks() -> None:
    assert len(SPECS) == 13


def test_the_page_has_each_hook_with_its_signature_in_the_order_of_the_specs() -> None:
    assert HEADING.findall(PAGE) == list(SPECS.values())


def test_the_page_names_no_other_hook() -> None:
    attributes = {"antflow_name", "antflow_dashboards", "antflow_journal"}
    assert set(re.findall(r"\bantflow_[a-z_]*[a-z]\b", PAGE)) <= {*SPECS, *attributes}


@pytest.mark.parametrize("hook", SPECS)
def test_a_hook_is_explained_and_used_in_an_example(hook: str) -> None:
    text = PAGE.partition(f"### `{SPECS[hook]}`\n")[2]
    explanation, _, rest = text.partition("\n##")
    assert len(explanation.strip()) > 10
    assert hook in implemented_in(explanation + rest)


@pytest.mark.parametrize("hook", SPECS)
def test_a_hook_is_implemented_by_a_plugin_of_this_repository(hook: str) -> None:
    users = [path for path in USERS if hook in implemented_in(path.read_text(encoding="utf-8"))]
    assert users != []


@pytest.mark.parametrize("hook", SPECS)
def test_a_hook_is_named_in_a_test(hook: str) -> None:
    assert any(hook in path.read_text(encoding="utf-8") for path in TESTS)


def test_the_example_plugin_implements_every_hook() -> None:
    sources = (ROOT / "examples" / "antflow-journal" / "src").rglob("*.py")
    found = [implemented_in(path.read_text(encoding="utf-8")) for path in sources]
    assert set().union(*found) == set(SPECS)


def test_the_tracker_is_a_plugin_like_any_other() -> None:
    assert implemented_in(inspect.getsource(tracker)) == {
        "antflow_item_status",
        "antflow_task_start",
        "antflow_task_success",
        "antflow_task_retry",
        "antflow_task_failure",
    }
