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


class Counting:
    """A plugin."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.started: list[Any] = []

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        self.started.append(event.item_id)


class Raising:
    """A plugin that raises at the first attempt of each item."""

    antflow_name = "raising"

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        if event.attempt == 1:
            raise LookupError(f"no account for {event.item_id}")


class Broken:
    """A display that raises."""

    antflow_name = "broken"

    @hookimpl
    def antflow_dashboard(self, name: str) -> Broken | None:
        return self if name == "broken" else None

    def on_start(self, *_: Any) -> None:
        raise LookupError("no screen")

    def on_update(self, *_: Any) -> None: ...
    def on_finish(self, *_: Any) -> None: ...


async def parse(text: str) -> int:
    await asyncio.sleep(1)
    return int(text)


def parsing(**fields: Any) -> Stage:
    return Stage("Parse", 1, [parse], task_attempts=2, task_wait_seconds=60, **fields)


@pytest.fixture
def installed(nothing_installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that is installed and would take part, and one that cannot be loaded."""
    install(monkeypatch, Entry("counting", lambda: Counting), Entry("bad", raising(ImportError())))


def test_a_run_has_results_failures_calls_and_takes_no_time() -> None:
    run = run_pipeline([parsing()], ["1", "two", "3"])
    assert [result.value for result in run.results] == [1, 3]
    assert [failure.id for failure in run.failures] == [1]
    assert run.recorder.hooks.count("task_retry") == 1
    assert run.seconds == 63
    assert run.pipeline.get_stats().items_failed == 1
    assert run.faults == []


def test_only_the_given_plugins_take_part(installed: None) -> None:
    made = Counting.made
    run = run_pipeline(parsing(), ["1"], [Raising], may_raise=True)
    assert run.pipeline.plugin_names == ("recorder", "raising")
    assert Counting.made == made


def test_a_given_recorder_is_used() -> None:
    recorder = Recorder()
    run = run_pipeline(parsing(), ["1"], [Counting, recorder])
    assert run.recorder is recorder
    assert run.pipeline.plugin_names == ("Counting", "recorder")
    assert recorder.hooks[-1] == "pipeline_finish"


def test_an_installed_plugin_can_be_named(installed: None) -> None:
    made = Counting.made
    run = run_pipeline(parsing(), ["1"], ["counting"])
    assert run.pipeline.plugin_names == ("recorder", "Counting")
    assert Counting.made == made + 1


def test_a_plugin_that_is_not_installed_raises_lookup_error(installed: None) -> None:
    with pytest.raises(LookupError, match=r"No plugin 'mine' is installed; installed are: bad, co"):
        run_pipeline(parsing(), ["1"], ["mine"])


def test_a_plugin_that_cannot_be_loaded_raises_plugin_error(installed: None) -> None:
    with pytest.raises(PluginError, match=r"Plugin 'bad' \(.*\) cannot be loaded: ImportError"):
        run_pipeline(parsing(), ["1"], ["bad"])


def test_a_class_that_needs_arguments_raises_plugin_error() -> None:
    class Needy:
        def __init__(self, account: str) -> None: ...

    with pytest.raises(PluginError, match="Plugin 'Needy' cannot be made: TypeError"):
        run_pipeline(parsing(), ["1"], [Needy])


def test_a_plugin_that_raises_fails_the_test(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PluginFaultError) as caught:
        run_pipeline(parsing(), ["1", "2"], [Raising], name="texts")
    text = str(caught.value)
    assert text.startswith("Pipeline 'texts': antflow_task_start of plugin 'raising' raised at ite")
    assert text.endswith("LookupError: no account for 0")
    assert "test_testing_run.py" in text
    assert "dispatcher.py" not in text
    assert caplog.records == []


def test_a_plugin_may_raise_with_may_raise() -> None:
    run = run_pipeline(parsing(), ["1", "2"], [Raising], may_raise=True)
    assert [result.value for result in run.results] == [1, 2]
    assert run.pipeline.plugin_faults == {"raising": 2}
    assert len(run.faults) == 1


def test_a_plugin_that_raises_fails_the_test_with_logging_disabled() -> None:
    logger = logging.getLogger("antflow._plugins.dispatcher")
    logging.disable(logging.CRITICAL)
    logger.setLevel(logging.CRITICAL)
    try:
        with pytest.raises(PluginFaultError):
            run_pipeline(parsing(), ["1"], [Raising])
        assert logging.root.manager.disable == logging.CRITICAL
        assert logger.level == logging.CRITICAL
        assert logger.filters == []
    finally:
        logging.disable(logging.NOTSET)
        logger.setLevel(logging.NOTSET)


def test_a_display_that_raises_fails_the_test() -> None:
    with pytest.raises(PluginFaultError, match="LookupError: no screen"):
        run_pipeline(parsing(), ["1"], [Broken], dashboard="broken")


def test_a_given_clock_is_used() -> None:
    clock = Clock()
    clock.advance(5)
    assert run_pipeline(parsing(), ["1"], clock=clock).seconds == 1
    assert clock.time() == 6


async def test_it_is_rejected_inside_an_event_loop() -> None:
    with pytest.raises(RuntimeError, match="make the test a plain function"):
        run_pipeline(parsing(), ["1"])


# The fixtures


def test_a_fixture_runs_a_pipeline_on_the_clock_of_the_test(
    antflow_run: Callable[..., PluginRun], antflow_clock: Clock, antflow_recorder: Recorder
) -> None:
    run = antflow_run(parsing(), ["1", "two"], [antflow_recorder])
    assert isinstance(run, PluginRun)
    assert antflow_clock.time() == run.seconds == 63
    assert run.recorder is antflow_recorder
    assert antflow_recorder.hooks.count("task_retry") == 1


def test_a_fixture_is_new_for_each_test(antflow_clock: Clock, antflow_recorder: Recorder) -> None:
    assert antflow_clock.time() == 0
    assert antflow_recorder.calls == []
