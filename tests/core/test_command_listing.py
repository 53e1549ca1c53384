"""What is installed, as text and as JSON; `test_cli` has the commands."""

from __future__ import annotations

import json

from antflow._cli.printing import plugins_as_json, plugins_as_text
from antflow._plugins.discovery import FoundPlugin

FOUND = FoundPlugin("a", "dist", "1", "dist:a", "active", "", ("antflow_dashboard",), object())


def test_a_plugin_is_listed_without_itself() -> None:
    (listed,) = json.loads(plugins_as_json([FOUND]))
    assert listed == {
        "name": "a",
        "distribution": "dist",
        "version": "1",
        "target": "dist:a",
        "status": "active",
        "reason": "",
        "hooks": ["antflow_dashboard"],
    }


def test_a_table_of_plugins() -> None:
    assert plugins_as_text([]) == "No plugin is installed."
    assert plugins_as_text([FOUND]).splitlines()[1].split() == [
        *("a", "active", "dist", "1", "dashboard")
    ]
