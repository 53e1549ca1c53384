"""What the tests of `antflow.testing` share."""

from __future__ import annotations

import selectors
from typing import Any

import pytest

from antflow import hookimpl
from antflow.testing import PluginProblemsError, Problem, ProblemKind, check_plugin


def plugin_of(name: str = "Plugin", **members: Any) -> Any:
    """Return a class of plugins; functions that are named like a hook implement it."""
    for key, member in members.items():
        if key.startswith("antflow_") and callable(member):
            hookimpl(member)
    return type(name, (), members)


def problems(plugin: object, *ignore: ProblemKind) -> tuple[Problem, ...]:
    """Return the problems of a plugin, which are there."""
    with pytest.raises(PluginProblemsError) as caught:
        check_plugin(plugin, ignore=ignore)
    assert caught.value.report.problems
    return caught.value.report.problems


def only(plugin: object, *ignore: ProblemKind) -> Problem:
    """Return the only problem of a plugin."""
    (problem,) = problems(plugin, *ignore)
    return problem


def shorten_real_waits(
    monkeypatch: pytest.MonkeyPatch, seconds: float, longest: float = 10
) -> None:
    """Have a clock wait for threads for a moment only, in real time.

    Args:
        monkeypatch: of the test.
        seconds: how long it waits instead.
        longest: waits of more seconds stay as they are.
    """
    select: Any = selectors.DefaultSelector.select

    def select_soon(self: object, timeout: float | None = None) -> Any:
        is_short = timeout is not None and seconds < timeout <= longest
        return select(self, seconds if is_short else timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", select_soon)
