"""`antflow.plugins`: what a front end knows of plugins, and which hooks it calls."""

from __future__ import annotations

from typing import Any

import pytest

from antflow import Pipeline, Stage, hookimpl
from antflow.plugins import HOOKS, hook_functions, installed_plugins, is_strict, leave_out
from tests.helpers.hooks import ARGUMENTS
from tests.helpers.installation import Entry, install
from tests.helpers.runs import same

pytestmark = pytest.mark.usefixtures("nothing_installed")


class Configured:
    """A plugin that keeps the options, and those of whose run an observer would be."""

    def __init__(self) -> None:
        self.options: list[object] = []

    @hookimpl
    def antflow_configure(self, options: object) -> None:
        self.options.append(options)

    @hookimpl
    def antflow_pipeline_start(self, total_items: int | None) -> object:
        self.options.append(total_items)
        return Observer()


class Observer:
    @hookimpl
    def antflow_task_start(self) -> None: ...


def pair(monkeypatch: pytest.MonkeyPatch) -> tuple[Configured, Configured]:
    """Install two plugins, "a" and "b"."""
    one, other = Configured(), Configured()
    install(monkeypatch, Entry("a", lambda: one), Entry("b", lambda: other))
    return one, other


def test_the_hooks_are_those_of_the_specs_with_their_arguments() -> None:
    assert list(HOOKS.items()) == list(ARGUMENTS.items())


def test_hooks_are_called_with_what_they_take_in_the_order_of_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = pair(monkeypatch)
    found = hook_functions("antflow_configure")
    assert [function.plugin for function in found] == ["b", "a"]
    found[0].call("options")
    (starts, _) = hook_functions("antflow_pipeline_start")
    starts.call({"pipeline": None, "total_items": 7})
    assert (one.options, other.options) == ([], ["options", 7])
    assert hook_functions("antflow_task_start") == ()  # those of observers are known in a run only


def test_a_hook_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no hook 'antflow_begin'; the hooks are antflow_add_opt"):
        hook_functions("antflow_begin")


def test_a_plugin_that_is_left_out_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    pair(monkeypatch)
    leave_out("a", "it raised")
    kept = [(plugin.name, plugin.status, plugin.reason) for plugin in installed_plugins()]
    assert kept == [("a", "failed", "it raised"), ("b", "active", "")]
    assert [function.plugin for function in hook_functions("antflow_configure")] == ["b"]
    assert Pipeline([Stage("Work", 1, [same])]).plugin_names == ("b",)


@pytest.mark.parametrize(("value", "expected"), [("", False), ("0", False), ("1", True)])
def test_strict_plugins(monkeypatch: pytest.MonkeyPatch, value: str, expected: Any) -> None:
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", value)
    assert is_strict() is expected
