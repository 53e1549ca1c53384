"""`run_pipeline` and the pytest fixtures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from antflow import PluginError, Stage, TaskEvent, hookimpl
from antflow.testing import Clock, PluginFaultError, PluginRun, Recorder, run_pipeline
from tests.helpers.installation import Entry, install, raising
from tests.helpers.kit import plugin_of


class Counting:
    """A plugin."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    @hookimpl
    def antflow_task_start(self) -> None: ...


class Raising:
    """A plugin that raises at the first attempt of each item."""

    antflow_name = "raising"

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        if event.attempt == 1:
            raise LookupError(f"no account for {event.item_id}")


class Needy:
    """A plugin that needs an argument."""

    def __init__(self, account: str) -> None: ...


async def parse(text: str) -> int:
    await asyncio.sleep(1)
    return int(text)


PARSING = Stage("Parse", 1, [parse], task_attempts=2, task_wait_seconds=60)


@pytest.fixture
def installed(nothing_installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that is installed and would take part, and one that cannot be loaded."""
    install(monkeypatch, Entry("counting", lambda: Counting), Entry("bad", raising(ImportError())))


def test_a_run_has_results_failures_calls_and_takes_no_time() -> None:
    run = run_pipeline([PARSING], ["1", "two", "3"])
    assert [result.value for result in run.results] == [1, 3]
    assert [failure.id for failure in run.failures] == [1]
    assert run.recorder.hooks.count("task_retry") == 1
    assert run.seconds == 63
    assert run.pipeline.get_stats().items_failed == 1
    assert run.faults == []


def test_only_the_given_plugins_take_part(installed: None) -> None:
    made = Counting.made
    run = run_pipeline(PARSING, ["1"], [Raising], may_raise=True)
    assert (run.pipeline.plugin_names, Counting.made) == (("recorder", "raising"), made)
    run = run_pipeline(PARSING, ["1"], ["counting"])
    assert (run.pipeline.plugin_names, Counting.made) == (("recorder", "Counting"), made + 1)


def test_a_given_recorder_and_a_given_clock_are_used() -> None:
    recorder, clock = Recorder(), Clock()
    clock.advance(5)
    run = run_pipeline(PARSING, ["1"], [Counting, recorder], clock=clock)
    assert run.recorder is recorder
    assert run.pipeline.plugin_names == ("Counting", "recorder")
    assert recorder.hooks[-1] == "pipeline_finish"
    assert (run.seconds, clock.time()) == (1, 6)


@pytest.mark.parametrize(
    ("plugin", "error", "text"),
    [
        ("mine", LookupError, r"No plugin 'mine' is installed; installed are: bad, counting"),
        ("bad", PluginError, r"Plugin 'bad' \(.*\) cannot be loaded: ImportError"),
        (Needy, PluginError, "Plugin 'Needy' cannot be made: TypeError"),
    ],
)
def test_a_plugin_that_cannot_be_had_raises(
    installed: None, plugin: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        run_pipeline(PARSING, ["1"], [plugin])


def test_a_plugin_that_raises_fails_the_test(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PluginFaultError) as caught:
        run_pipeline(PARSING, ["1", "2"], [Raising], name="texts")
    text = str(caught.value)
    assert text.startswith("Pipeline 'texts': antflow_task_start of plugin 'raising' raised at ite")
    assert text.endswith("LookupError: no account for 0")
    assert "test_run.py" in text
    assert "dispatcher.py" not in text
    assert caplog.records == []


def test_a_plugin_may_raise_with_may_raise() -> None:
    run = run_pipeline(PARSING, ["1", "2"], [Raising], may_raise=True)
    assert [result.value for result in run.results] == [1, 2]
    assert run.pipeline.plugin_faults == {"raising": 2}
    assert len(run.faults) == 1


def test_a_plugin_that_raises_fails_the_test_with_logging_disabled() -> None:
    logger = logging.getLogger("antflow._plugins.dispatcher")
    logging.disable(logging.CRITICAL)
    logger.setLevel(logging.CRITICAL)
    try:
        with pytest.raises(PluginFaultError):
            run_pipeline(PARSING, ["1"], [Raising])
        assert logging.root.manager.disable == logging.CRITICAL
        assert (logger.level, logger.filters) == (logging.CRITICAL, [])
    finally:
        logging.disable(logging.NOTSET)
        logger.setLevel(logging.NOTSET)


def test_a_display_that_raises_fails_the_test() -> None:
    def start(*_: Any) -> None:
        raise LookupError("no screen")

    display = plugin_of(
        antflow_dashboard=lambda self, name: self if name == "broken" else None,
        on_start=start,
        on_update=lambda *_: None,
        on_finish=lambda *_: None,
    )
    with pytest.raises(PluginFaultError, match="LookupError: no screen"):
        run_pipeline(PARSING, ["1"], [display], dashboard="broken")


async def test_it_is_rejected_inside_an_event_loop() -> None:
    with pytest.raises(RuntimeError, match="make the test a plain function"):
        run_pipeline(PARSING, ["1"])


def test_a_fixture_runs_a_pipeline_on_the_clock_of_the_test(
    antflow_run: Callable[..., PluginRun], antflow_clock: Clock, antflow_recorder: Recorder
) -> None:
    run = antflow_run(PARSING, ["1", "two"], [antflow_recorder])
    assert isinstance(run, PluginRun)
    assert antflow_clock.time() == run.seconds == 63
    assert run.recorder is antflow_recorder
    assert antflow_recorder.hooks.count("task_retry") == 1


def test_a_fixture_is_new_for_each_test(antflow_clock: Clock, antflow_recorder: Recorder) -> None:
    assert antflow_clock.time() == 0
    assert antflow_recorder.calls == []
