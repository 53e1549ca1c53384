"""Hooks that raise, in whole runs: what it changes, what is logged, and what it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any

import pytest

from antflow import Pipeline, PluginError, Stage, TaskEvent, hookimpl
from tests.helpers.hooks import (
    ARGUMENTS,
    EXITS,
    FAULTS,
    FINISH,
    LONG,
    OBSERVED,
    START,
    STATUSES,
    Ends,
    Journal,
    Scoping,
    by_feeding,
    by_run,
    by_streaming,
    check,
    check_conservation,
    pipeline,
)
from tests.helpers.runs import raised_by, same, values
from tests.helpers.virtual_time import others, simulate

pytestmark = pytest.mark.usefixtures("nothing_installed")


class Faulty:
    """A plugin that raises in one hook, at once or after a second."""

    antflow_name = "faulty"

    def __init__(self, hook: str, error: BaseException, *, slow: bool) -> None:
        self.calls: list[Any] = []

        def fail(**arguments: Any) -> None:
            self.calls.append(arguments.get("event"))
            raise error

        async def fail_later(**arguments: Any) -> None:
            await asyncio.sleep(1)
            fail(**arguments)

        function = fail_later if slow else fail
        names = ", ".join(ARGUMENTS[hook])
        pairs = ", ".join(f"{name}={name}" for name in ARGUMENTS[hook])
        space: dict[str, Any] = {"function": function}
        exec(
            f"async def hook({names}): await function({pairs})"
            if slow
            else f"def hook({names}): function({pairs})",
            space,
        )
        setattr(self, hook, hookimpl(space["hook"]))


class Mixed:
    """A run in which every hook is called: it is stopped at its last item."""

    def __init__(self, *plugins: object) -> None:
        stage = Stage("Work", 1, [check], task_attempts=2, task_wait_seconds=0)
        self.pipeline = Pipeline([stage], plugins=plugins)
        self.error: BaseException | None = None

    async def __call__(self) -> None:
        one = self.pipeline
        starting = await raised_by(one.start())
        if starting is None:
            await raised_by(one.feed(["fine", "once", "never", "long"]))
            await asyncio.sleep(LONG / 2)
        ending = await raised_by(one.shutdown(timeout=0))
        self.error = starting or ending
        check_conservation(one)
        assert not others()


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


def item_of(faulty: Faulty) -> Any:
    event = faulty.calls[0]
    return None if event is None else event.item_id


RAISING = [
    pytest.param(hook, error, slow, id=f"{hook} {type(error).__name__}{' later' * slow}")
    for hook, error, slow in product(OBSERVED, FAULTS, (False, True))
    if not (hook == "antflow_task_cancelled" and isinstance(error, asyncio.CancelledError))
]
"""All but a CancelledError in a worker that is being cancelled, which is no fault."""


@pytest.mark.parametrize(("hook", "error", "slow"), RAISING)
def test_a_hook_that_raises_changes_nothing(
    hook: str, error: BaseException, slow: bool, caplog: pytest.LogCaptureFixture
) -> None:
    first, last, undisturbed = Journal(), Journal(), Journal()
    last.antflow_name = "last"
    faulty = Faulty(hook, error, slow=slow)
    mixed, plain = Mixed(first, faulty, last), Mixed(undisturbed)
    simulate(mixed)
    simulate(plain)
    assert mixed.error is plain.error is None
    assert Counter(first.told) == Counter(last.told) == Counter(undisturbed.told)
    assert values(mixed.pipeline.results) == ["fine", "once"]
    assert values(mixed.pipeline.failures) == ["never"]
    assert mixed.pipeline.plugin_faults == {"faulty": len(faulty.calls)}
    assert len(faulty.calls) == times_told(hook, undisturbed, slow=slow)
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.exc_info[2] is not None
    text = record.getMessage()
    assert hook in text
    assert "'faulty'" in text
    assert hook not in EVENTS or f"item {item_of(faulty)!r}" in text


def times_told(hook: str, journal: Journal, *, slow: bool) -> int:
    """How often a hook was called and came to its end: an aborted run does not wait at its end."""
    if hook in (START, FINISH):
        return 1
    if hook == "antflow_item_start":
        return journal.told.count("queued")
    if hook == "antflow_item_finish":
        return len([each for each in journal.told if each.endswith("!")]) - slow
    if hook == "antflow_item_status":
        all_told = len([each for each in journal.told if each.rstrip("!") in STATUSES])
        return all_told - slow
    return journal.told.count(f"task {EVENTS[hook]}")


@pytest.mark.parametrize(("hook", "error", "slow"), RAISING)
def test_a_hook_that_raises_ends_a_strict_run(
    hook: str, error: BaseException, slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")
    first, last = Journal(), Journal()
    last.antflow_name = "last"
    faulty = Faulty(hook, error, slow=slow)
    mixed = Mixed(first, faulty, last)
    simulate(mixed)
    raised = mixed.error
    assert isinstance(raised, PluginError)
    assert (raised.plugin, raised.hook, raised.item_id) == ("faulty", hook, item_of(faulty))
    assert raised.__cause__ is error
    assert Counter(first.told) == Counter(last.told)
    assert len(mixed.pipeline.unprocessed) + len(mixed.pipeline.results) <= 4
    first.check()
    last.check()


@pytest.mark.parametrize("hook", ["antflow_task_start", "antflow_task_success", START, FINISH])
def test_a_strict_run_raises_by_run_and_stream(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")

    async def stream(of: Pipeline) -> None:
        async for _ in of.stream(range(3)):
            pass

    async def leave(of: Pipeline) -> None:
        async with of.stream(range(3)) as results:
            async for _ in results:
                break

    async def run(of: Pipeline) -> None:
        await of.run(range(3))

    async def join(of: Pipeline) -> None:
        await of.start()
        await raised_by(of.feed(range(3)))
        await of.join()

    for way_of in (run, stream, leave, join):
        faulty = Faulty(hook, ValueError("x"), slow=False)

        async def main(way_of: Any = way_of, faulty: Faulty = faulty) -> None:
            one = pipeline(faulty)
            raised = await raised_by(way_of(one))
            assert isinstance(raised, PluginError)
            assert (raised.plugin, raised.hook) == ("faulty", hook)
            check_conservation(one)
            assert not others()

        simulate(main)


@pytest.mark.parametrize("strict", ["", "1"])
def test_a_cancelled_error_in_a_worker_that_is_being_cancelled_is_no_fault(
    strict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", strict)
    journal = Journal()
    mixed = Mixed(journal, Faulty("antflow_task_cancelled", asyncio.CancelledError(), slow=True))
    simulate(mixed)
    assert mixed.error is None
    assert mixed.pipeline.plugin_faults == {}
    journal.check()


def test_a_strict_success_hook_lets_the_outcome_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")

    async def main() -> None:
        one = pipeline(Faulty("antflow_task_success", ValueError("x"), slow=False))
        assert isinstance(await raised_by(one.run(["x", "y"])), PluginError)
        assert values(one.results) == ["x"]
        assert values(one.unprocessed) == ["y"]

    simulate(main)


def test_a_strict_run_minds_what_was_told_before_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")

    async def main() -> None:
        one = pipeline(Faulty("antflow_item_status", ValueError("x"), slow=False))
        await raised_by(one.feed(["x"]))
        raised = await raised_by(one.start())
        raised = raised or await raised_by(one.join())
        assert isinstance(raised, PluginError)
        assert raised.item_id == 0
        assert not others()

    simulate(main)


@pytest.mark.parametrize("way", [by_run, by_streaming, by_feeding], ids=lambda way: way.__name__)
@pytest.mark.parametrize("error", [ValueError("x"), *EXITS], ids=lambda error: type(error).__name__)
def test_a_run_that_ended_before_its_start_is_not_begun(
    error: BaseException,
    way: Callable[[Pipeline], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")
    ends = Ends()

    async def main() -> None:
        one = pipeline(ends, Faulty("antflow_item_status", error, slow=False))
        fed = await asyncio.create_task(raised_by(one.feed(["x"])))
        ran = await asyncio.create_task(raised_by(way(one)))
        assert fed is not None or ran is not None
        assert not others()

    simulate(main)
    assert ends.told.count("finish") == len(ends.told) / 2


def test_a_finish_hook_that_raises_cancelled_error_after_a_cancellation_is_a_fault() -> None:
    slow = Faulty("antflow_item_status", ValueError("x"), slow=True)
    faulty = Faulty(FINISH, asyncio.CancelledError(), slow=False)
    vars(faulty)["antflow_name"] = "last"
    mixed = Mixed(slow, faulty)
    simulate(mixed)
    assert mixed.pipeline.plugin_faults["last"] == 1


def test_finish_is_told_when_all_tasks_are_cancelled_as_the_run_ends() -> None:
    """asyncio.run does so at its end: the one that is about to tell may be among them."""
    finished: list[Pipeline] = []

    class Listener:
        @hookimpl
        def antflow_pipeline_finish(self, pipeline: Pipeline) -> None:
            finished.append(pipeline)

    async def main() -> None:
        one = Pipeline([Stage("A", 2, [same])], plugins=[Listener()], autoload=False)
        async for _ in one.stream(range(20)):
            break
        known = asyncio.all_tasks()
        while not (telling := asyncio.all_tasks() - known):
            await asyncio.sleep(0)
        for task in telling:
            task.cancel()

    asyncio.run(main())
    assert len(finished) == 1


def test_a_pipeline_runs_again_after_a_strict_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        one = pipeline(Faulty("antflow_task_start", ValueError("x"), slow=False))
        monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")
        assert isinstance(await raised_by(one.run([1])), PluginError)
        monkeypatch.delenv("ANTFLOW_STRICT_PLUGINS")
        assert values(await one.run([1])) == [1]

    simulate(main)


def test_a_fault_of_what_takes_part_in_one_run_is_counted_by_the_name_of_its_plugin() -> None:
    def make() -> object:
        return Faulty("antflow_task_start", ValueError("x"), slow=False)

    async def main() -> None:
        one = pipeline(Scoping(make))
        await one.run([1, 2])
        assert one.plugin_faults == {"scoping.run": 2}

    simulate(main)


def test_a_pipeline_names_its_plugins_and_what_joined_its_last_run() -> None:
    def make() -> object:
        return Faulty("antflow_task_start", ValueError("x"), slow=False)

    async def main() -> None:
        one = pipeline(Scoping(make))
        before = one.plugin_names
        await one.run([1])
        assert (before, one.plugin_names) == (("scoping",), ("scoping", "scoping.run"))

    simulate(main)


def test_statistics_name_their_run_as_events_do() -> None:
    named: list[str] = []

    class Naming:
        @hookimpl
        def antflow_task_start(self, event: TaskEvent) -> None:
            named.append(event.run_id)

    async def main() -> None:
        one = pipeline(Naming())
        for _ in range(2):
            await one.run([1])
            assert one.get_stats().run_id == named[-1]
        assert named[0] != named[1]

    simulate(main)


def test_faults_are_those_of_the_last_run(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        one = pipeline(Faulty("antflow_task_start", ValueError("x"), slow=False))
        assert one.plugin_faults == {}
        for number in (3, 2):
            await one.run(range(number))
            assert one.plugin_faults == {"faulty": number}

    simulate(main)
    assert len(caplog.records) == 2


def test_faults_are_logged_once_for_each_plugin_and_hook(caplog: pytest.LogCaptureFixture) -> None:
    hooks = ["antflow_task_start", "antflow_task_success"]
    faulty = [Faulty(hook, ValueError("x"), slow=False) for hook in hooks]
    for number, each in enumerate(faulty):
        vars(each)["antflow_name"] = f"faulty {number}"
    simulate(pipeline(*faulty).run(range(5)))
    assert len(caplog.records) == 2
    assert ["'faulty 0'" in record.getMessage() for record in caplog.records] == [True, False]


@pytest.mark.parametrize("slow", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("error", EXITS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("hook", [START, FINISH])
def test_an_exit_in_a_hook_of_the_run_ends_it(
    hook: str, error: BaseException, slow: bool, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal()

    async def main() -> None:
        one = pipeline(journal, Faulty(hook, error, slow=slow))
        running = asyncio.create_task(raised_by(one.run([1])))
        assert await running is error
        assert not one.plugin_faults
        check_conservation(one)
        assert not others()

    simulate(main)
    journal.check()
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("error", EXITS, ids=lambda error: type(error).__name__)
def test_an_exit_in_a_start_hook_is_raised_by_start(error: BaseException) -> None:
    ends = Ends()

    async def main() -> None:
        one = pipeline(ends, Faulty(START, error, slow=True))
        assert await asyncio.create_task(raised_by(one.start())) is error
        assert not others()

    simulate(main)
    ends.check()
