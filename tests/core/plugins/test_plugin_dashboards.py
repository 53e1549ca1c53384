"""Dashboards: those that plugins offer by name, and those that are plugins themselves."""

from __future__ import annotations

from typing import Any

import pytest

from antflow import Pipeline, PluginError, Stage, StatusEvent, hookimpl
from tests.helpers.runs import same
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import simulate

pytestmark = pytest.mark.usefixtures("nothing_installed")


class Board:
    """A dashboard that notes the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_start(self, pipeline: object, total_items: int | None) -> None:
        self.calls.append(f"start {total_items}")

    def on_update(self, snapshot: object) -> None:
        self.calls.append("update")

    def on_finish(self, results: list[Any], summary: object) -> None:
        self.calls.append(f"finish {len(results)}")


class Watching(Board):
    """A dashboard with hooks."""

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        self.calls.append(event.status)

    @hookimpl
    def antflow_pipeline_start(self) -> None:
        self.calls.append("pipeline_start")

    @hookimpl
    def antflow_pipeline_finish(self) -> None:
        self.calls.append("pipeline_finish")


class Boards:
    """A plugin that has dashboards by name."""

    def __init__(self, *names: str, antflow_name: str = "boards") -> None:
        self.antflow_name = antflow_name
        self.antflow_dashboards = names
        self.made: list[Board] = []

    @hookimpl
    def antflow_dashboard(self, name: str) -> Board | None:
        if name not in self.antflow_dashboards:
            return None
        self.made.append(Board())
        return self.made[-1]


class BrokenBoards:
    @hookimpl
    def antflow_dashboard(self, name: str) -> None:
        raise RuntimeError("no screen")


def pipeline(*plugins: object) -> Pipeline:
    return Pipeline([Stage("Work", 1, [same])], plugins=plugins)


def test_the_first_dashboard_of_a_name_is_used_and_each_run_has_its_own() -> None:
    first, last = Boards("tiny", antflow_name="first"), Boards("tiny", antflow_name="last")

    async def main() -> None:
        one = pipeline(first, last)
        for _ in range(2):
            await one.run([1], dashboard="tiny")

    simulate(main)
    assert (len(first.made), len(last.made)) == (0, 2)


RICH = Boards("progress", "compact", "detailed", "full")


@pytest.mark.parametrize(
    ("plugins", "name", "text"),
    [
        (
            [Boards("tiny", antflow_name="one"), Boards("wide", "full", antflow_name="two")],
            "huge",
            "'huge'; installed are: full, progress, tiny, wide. The dashboards 'compact', 'det",
        ),
        ([RICH], "huge", "no dashboard 'huge'; installed are: compact, detailed, full, progress"),
        ([RICH], "ful", "'ful'; did you mean 'full'? Installed are: compact, detailed, full, prog"),
        ([Boards("Tiny")], "tiny", "'tiny'; did you mean 'Tiny'? Installed are: Tiny, progress."),
    ],
)
def test_an_unknown_dashboard_is_an_error_that_lists_those_installed(
    plugins: list[object], name: str, text: str
) -> None:
    with pytest.raises(ValueError, match="There is no dashboard") as caught:
        simulate(pipeline(*plugins).run([1], dashboard=name))
    assert text in str(caught.value)
    remedy = "come with the package antflow-rich; in a checkout of antflow: pip install ./antflow"
    assert (remedy in str(caught.value)) is (plugins != [RICH])
    with pytest.raises(ValueError, match="There is no dashboard"):
        pipeline(*plugins).stream([1], dashboard=name)  # at once, not at the first result


def test_a_plugin_that_raises_when_it_makes_a_dashboard_is_logged_and_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    boards = Boards("tiny")
    simulate(pipeline(boards, BrokenBoards()).run([1], dashboard="tiny"))
    assert len(boards.made) == 1
    with pytest.raises(ValueError, match="no dashboard 'tiny'"):
        simulate(pipeline(BrokenBoards()).run([1], dashboard="tiny"))
    assert ["'BrokenBoards'" in record.getMessage() for record in caplog.records] == [True] * 2
    assert all(record.exc_info for record in caplog.records)


def test_every_call_for_a_dashboard_is_logged_when_tracing_is_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ANTFLOW_TRACE_PLUGINS", "1")
    simulate(pipeline(Boards("tiny")).run([1], dashboard="tiny"))
    assert [record.getMessage() for record in caplog.records] == [
        "boards: antflow_dashboard('tiny')"
    ]


def test_a_dashboard_with_hooks_gets_the_events_of_the_run() -> None:
    board = Watching()
    simulate(pipeline().run([1], custom_dashboard=board))
    assert board.calls == [
        *("pipeline_start", "start 1", "update"),
        *("queued", "in_progress", "completed"),
        *("pipeline_finish", "update", "finish 1"),
    ]


def test_a_dashboard_that_is_a_plugin_too_gets_each_event_once() -> None:
    board = Watching()
    simulate(pipeline(board).run([1], custom_dashboard=board))
    assert board.calls.count("queued") == 1


def test_a_class_method_or_a_function_of_another_name_is_a_hook_of_a_dashboard() -> None:
    calls: list[str] = []

    class Marked(Board):
        @classmethod
        @hookimpl
        def antflow_pipeline_start(cls) -> None:
            calls.append("class method")

    class Named(Board):
        @hookimpl(specname="antflow_pipeline_start")
        def begin(self) -> None:
            calls.append("other name")

    for board in Marked(), Named():
        simulate(pipeline().run([1], custom_dashboard=board))
    assert calls == ["class method", "other name"]


@simulated()
async def test_a_dashboard_whose_hook_lacks_the_marker_is_refused_and_the_next_run_works() -> None:
    class Bad(Board):
        def antflow_item_status(self) -> None:
            """Lack the marker."""

    one = pipeline()
    with pytest.raises(PluginError, match="lacks the marker"):
        await one.run([1], custom_dashboard=Bad())
    assert len(await one.run([1])) == 1
