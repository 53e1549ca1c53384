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
IMPLEMENTED = re.compile(r"@hookimpl(?:\(.*\))?\s+(?:async )?def (antflow_\w+)\(")
EXAMPLE = "examples/antflow-journal/src/**/*.py"


def text_of(*patterns: str) -> str:
    paths = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths if path != Path(__file__))


def implemented_in(text: str) -> set[str]:
    return set(IMPLEMENTED.findall(text))


def test_the_page_has_each_hook_with_its_signature_in_the_order_of_the_specs() -> None:
    assert len(SPECS) == 13
    assert re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE) == list(SPECS.values())


def test_the_page_names_no_other_hook() -> None:
    attributes = {"antflow_name", "antflow_dashboards", "antflow_journal"}
    assert set(re.findall(r"\bantflow_[a-z_]*[a-z]\b", PAGE)) <= {*SPECS, *attributes}


@pytest.mark.parametrize("hook", SPECS)
def test_a_hook_is_explained_and_used_in_an_example(hook: str) -> None:
    text = PAGE.partition(f"### `{SPECS[hook]}`\n")[2]
    explanation, _, rest = text.partition("\n##")
    assert len(explanation.strip()) > 10
    assert hook in implemented_in(explanation + rest)


def test_every_hook_is_implemented_by_the_example_plugin_and_named_in_a_test() -> None:
    assert implemented_in(text_of(EXAMPLE)) == set(SPECS)
    tests = text_of("tests/**/test_*.py")
    assert [hook for hook in SPECS if hook not in tests] == []


def test_the_tracker_is_a_plugin_like_any_other() -> None:
    assert implemented_in(inspect.getsource(tracker)) == {
        "antflow_item_status",
        *(f"antflow_task_{what}" for what in ("start", "success", "retry", "failure")),
    }
