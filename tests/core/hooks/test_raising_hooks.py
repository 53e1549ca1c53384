"""Hooks that raise: the run goes on, the fault is counted and logged once; strict runs end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import product

import pytest

from antflow import Pipeline, PluginError, Stage
from tests.helpers.hooks import (
    EXITS,
    FAULTS,
    FINISH,
    LONG,
    OBSERVED,
    START,
    STATUSES,
    Ends,
    Faulty,
    Journal,
    by_feeding,
    by_run,
    by_streaming,
    check,
    check_conservation,
    drain,
    pipeline,
)
from tests.helpers.runs import Failing, raised_by, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import others, simulate

pytestmark = pytest.mark.usefixtures("nothing_installed")


class Mixed:
    """A run in which every hook is called, and which is stopped at its last item."""

    def __init__(self, *plugins: object) -> None:
        stage = Stage("Work", 1, [check], task_attempts=2, task_wait_seconds=0)
        self.pipeline = Pipeline([stage], plugins=plugins)
        self.error: BaseException | None = None

    async def __call__(self) -> None:
        one = self.pipeline
        starting = await asyncio.create_task(raised_by(one.start()))
        if starting is None:
            await asyncio.create_task(raised_by(one.feed(["fine", "once", "never", "long"])))
            await asyncio.sleep(LONG / 2)
        ending = await asyncio.create_task(raised_by(one.shutdown(timeout=0)))
        self.error = starting or ending
        check_conservation(one)
        assert not others()


def run_with(faulty: Faulty) -> tuple[Mixed, Journal]:
    """Run with a faulty plugin between two others; return the run and the events of one of them."""
    first, last = Journal(), Journal()
    last.antflow_name = "last"
    mixed = Mixed(first, faulty, last)
    simulate(mixed)
    assert Counter(first.calls) == Counter(last.calls)
    first.check()
    return mixed, first


EVENTS = {
    "antflow_item_start": "queued",
    "antflow_item_status": "queued",
    "antflow_item_finish": "completed",
    "antflow_task_start": "start",
    "antflow_task_success": "complete",
    "antflow_task_retry": "retry",
    "antflow_task_failure": "fail",
    "antflow_task_cancelled": "cancel",
}


def calls_of(hook: str, calls: list[str], *, slow: bool) -> int:
    """Return how many calls of a hook ended: as a run is aborted, asynchronous ones do not."""
    if hook in (START, FINISH):
        return 1
    if hook == "antflow_item_start":
        return calls.count("queued")
    if hook == "antflow_item_finish":
        return len([each for each in calls if each.endswith("!")]) - slow
    if hook == "antflow_item_status":
        return len([each for each in calls if each.rstrip("!") in STATUSES]) - slow
    return calls.count(f"task {EVENTS[hook]}")


def each_case(errors: list[BaseException]) -> pytest.MarkDecorator:
    """Try each hook, plain and asynchronous, with each error.

    A CancelledError in a worker that is being cancelled is no fault.
    """
    cases = [
        pytest.param(hook, error, slow, id=f"{hook} {type(error).__name__}{' later' * slow}")
        for hook, error, slow in product(OBSERVED, errors, (False, True))
        if not (hook == "antflow_task_cancelled" and isinstance(error, asyncio.CancelledError))
    ]
    return pytest.mark.parametrize(("hook", "error", "slow"), cases)


@each_case(FAULTS)
def test_a_hook_that_raises_changes_nothing_and_is_logged_once(
    hook: str, error: BaseException, slow: bool, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed, faulty = Journal(), Faulty(hook, error, slow=slow)
    simulate(Mixed(undisturbed))
    mixed, journal = run_with(faulty)
    assert mixed.error is None
    assert Counter(journal.calls) == Counter(undisturbed.calls)
    assert values(mixed.pipeline.results) == ["fine", "once"]
    assert values(mixed.pipeline.failures) == ["never"]
    assert mixed.pipeline.plugin_faults == {"faulty": len(faulty.calls)}
    assert len(faulty.calls) == calls_of(hook, undisturbed.calls, slow=slow)
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.exc_info[2] is not None
    text = record.getMessage()
    assert hook in text
    assert "'faulty'" in text
    assert hook not in EVENTS or f"item {faulty.item_id!r}" in text


@each_case(FAULTS)
@pytest.mark.usefixtures("strict")
def test_a_hook_that_raises_ends_a_strict_run(hook: str, error: BaseException, slow: bool) -> None:
    faulty = Faulty(hook, error, slow=slow)
    mixed, _ = run_with(faulty)
    raised = mixed.error
    assert isinstance(raised, PluginError)
    assert (raised.plugin, raised.hook, raised.item_id) == ("faulty", hook, faulty.item_id)
    assert raised.__cause__ is error
    assert len(mixed.pipeline.unprocessed) + len(mixed.pipeline.results) <= 4


@each_case(EXITS)
def test_an_exit_in_a_hook_ends_the_run(
    hook: str, error: BaseException, slow: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """KeyboardInterrupt and SystemExit are not logged and are no faults."""
    mixed, _ = run_with(Faulty(hook, error, slow=slow))
    assert mixed.error is error
    assert not mixed.pipeline.plugin_faults
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("slow", [False, True])
@simulated()
async def test_no_task_is_called_after_an_exit_in_its_start_hook(slow: bool) -> None:
    journal, task = Journal(), Failing(0)
    one = pipeline(journal, Faulty("antflow_task_start", EXITS[0], slow=slow), tasks=[task])
    assert await asyncio.create_task(raised_by(one.run([0]))) is EXITS[0]
    assert values(one.unprocessed) == [0]
    assert task.calls == []
    assert journal.calls[-3:] == ["task cancel", "unprocessed!", "finish"]


@simulated()
async def test_an_exit_as_an_item_is_left_is_raised_by_the_shutdown() -> None:
    one = pipeline(Faulty("antflow_item_finish", EXITS[1]))
    await one.feed(range(3))
    assert await raised_by(one.shutdown()) is EXITS[1]
    assert values(one.unprocessed) == [0, 1, 2]


@pytest.mark.parametrize("is_strict", ["", "1"])
def test_a_cancelled_error_in_a_worker_that_is_being_cancelled_is_no_fault(
    is_strict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", is_strict)
    faulty = Faulty("antflow_task_cancelled", asyncio.CancelledError(), slow=True)
    mixed, _ = run_with(faulty)
    assert mixed.error is None
    assert mixed.pipeline.plugin_faults == {}


def test_a_cancelled_error_of_a_finish_hook_after_a_cancellation_is_a_fault() -> None:
    slow = Faulty("antflow_item_status", ValueError("x"), slow=True)
    faulty = Faulty(FINISH, asyncio.CancelledError(), name="last")
    mixed = Mixed(slow, faulty)
    simulate(mixed)
    assert mixed.pipeline.plugin_faults["last"] == 1


# Strict runs


async def leave_stream(of: Pipeline) -> None:
    async with of.stream(range(3)) as results:
        async for _ in results:
            break


async def feed_and_join(of: Pipeline) -> None:
    await of.start()
    await raised_by(of.feed(range(3)))
    await of.join()


@pytest.mark.parametrize("hook", ["antflow_task_start", "antflow_task_success", START, FINISH])
@pytest.mark.parametrize(
    "use",
    [
        lambda of: of.run(range(3)),
        lambda of: drain(of.stream(range(3))),
        leave_stream,
        feed_and_join,
    ],
    ids=["run", "stream", "left stream", "join"],
)
@pytest.mark.usefixtures("strict")
@simulated()
async def test_a_strict_run_raises_whatever_the_caller_waits_for(
    hook: str, use: Callable[[Pipeline], Awaitable[None]]
) -> None:
    one = pipeline(Faulty(hook, ValueError("x")))
    raised = await raised_by(use(one))
    assert isinstance(raised, PluginError)
    assert (raised.plugin, raised.hook) == ("faulty", hook)
    check_conservation(one)
    assert not others()


@pytest.mark.usefixtures("strict")
@simulated()
async def test_the_outcome_stands_though_a_success_hook_ends_a_strict_run() -> None:
    one = pipeline(Faulty("antflow_task_success", ValueError("x")))
    assert isinstance(await raised_by(one.run(["x", "y"])), PluginError)
    assert values(one.results) == ["x"]
    assert values(one.unprocessed) == ["y"]


@pytest.mark.parametrize("use", [by_run, by_streaming, by_feeding])
@pytest.mark.parametrize("error", [ValueError("x"), *EXITS], ids=lambda error: type(error).__name__)
@pytest.mark.usefixtures("strict")
@simulated()
async def test_an_error_before_the_start_ends_a_strict_run(
    error: BaseException, use: Callable[[Pipeline], Awaitable[None]]
) -> None:
    ends = Ends()
    one = pipeline(ends, Faulty("antflow_item_status", error))
    fed = await asyncio.create_task(raised_by(one.feed(["x"])))
    ran = await asyncio.create_task(raised_by(use(one)))
    raised = [fed, ran]
    assert error in raised or any(isinstance(each, PluginError) for each in raised)
    assert not others()
    ends.check(runs=ends.calls.count("finish"))


@simulated()
async def test_a_pipeline_can_run_again_after_a_strict_run(monkeypatch: pytest.MonkeyPatch) -> None:
    one = pipeline(Faulty("antflow_task_start", ValueError("x")))
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")
    assert isinstance(await raised_by(one.run([1])), PluginError)
    monkeypatch.delenv("ANTFLOW_STRICT_PLUGINS")
    assert values(await one.run([1])) == [1]


# Counting and logging


@simulated()
async def test_faults_are_counted_and_logged_anew_in_each_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = pipeline(Faulty("antflow_task_start", ValueError("x")))
    assert one.plugin_faults == {}
    for number in (3, 2):
        await one.run(range(number))
        assert one.plugin_faults == {"faulty": number}
    assert len(caplog.records) == 2


def test_faults_are_logged_once_for_each_plugin_and_hook(caplog: pytest.LogCaptureFixture) -> None:
    hooks = [("antflow_task_start", "one"), ("antflow_task_success", "two")]
    faulty = [Faulty(hook, ValueError("x"), name=name) for hook, name in hooks]
    simulate(pipeline(*faulty).run(range(5)))
    texts = [record.getMessage() for record in caplog.records]
    assert ["'one'" in text for text in texts] == [True, False]
