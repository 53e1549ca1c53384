"""The kit reports each error of a plugin, however hard it is to show."""

from __future__ import annotations

from typing import Any

import pytest

from antflow import Stage, hookimpl
from antflow.testing import PluginFaultError, PluginProblemsError, check_plugin, run_pipeline


async def same(value: Any) -> Any:
    return value


class NotesRaise(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no notes")


class OddSyntaxError(SyntaxError):
    def __init__(self) -> None:
        arguments: Any = ("file", "x", object(), 5)
        super().__init__("odd", arguments)


class TextRaises(Exception):
    def __str__(self) -> str:
        raise LookupError


ERRORS = [NotesRaise, OddSyntaxError, TextRaises, ValueError]


class Faulty:
    def __init__(self, error: type[Exception], hook: str, *, later: bool) -> None:
        def fail() -> None:
            raise error()

        async def fail_later() -> None:
            raise error()

        setattr(self, f"antflow_{hook}", hookimpl(fail_later if later else fail))


@pytest.mark.parametrize("later", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("hook", ["item_status", "task_success", "pipeline_finish"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_is_reported_whatever_its_kind(
    error: type[Exception], hook: str, *, later: bool
) -> None:
    plugin, stage = Faulty(error, hook, later=later), Stage("Work", 1, [same])
    (fault,) = run_pipeline(stage, [1], [plugin], may_raise=True).faults
    assert fault.startswith("Pipeline 'pipeline': antflow_" + hook + " of plugin 'Faulty' raised")
    assert error.__name__ in fault
    assert "the run goes on" not in fault
    with pytest.raises(PluginFaultError, match=error.__name__):
        run_pipeline(stage, [1], [plugin])


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_the_check_finds_an_error_whatever_its_kind(error: type[Exception]) -> None:
    plugin = Faulty(error, "task_success", later=False)
    with pytest.raises(PluginProblemsError, match=error.__name__) as caught:
        check_plugin(plugin)
    assert {problem.kind for problem in caught.value.report.problems} == {"raised"}
