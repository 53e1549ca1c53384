"""Hooks in whole runs: start and finish, what takes part in one run only, items and carriers.

What is told is noted in short: a hook by its name without the prefix, and a status by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from itertools import product
from typing import Any

import pytest

from antflow import (
    Pipeline,
    PipelineError,
    PluginError,
    Stage,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    current_item,
    hookimpl,
)
from tests.helpers.hooks import (
    FINISH,
    LONG,
    START,
    Ends,
    Journal,
    Scoping,
    by_feeding,
    by_run,
    by_streaming,
    check,
    check_conservation,
    drain,
    hooked,
    pipeline,
)
from tests.helpers.installation import Entry, install
from tests.helpers.runs import CustomExit, cancel, raised_by, same, start_with, values
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate

pytestmark = pytest.mark.usefixtures("nothing_installed")

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


class Holding(Journal):
    """A plugin whose hook of a run waits at a gate, and notes how that ends."""

    antflow_name = "holding"

    def __init__(self, hook: str, told: list[str] | None = None) -> None:
        super().__init__(told)
        self.hook = hook
        self.seconds = LONG

    async def _hold(self, hook: str) -> None:
        if hook != self.hook:
            return
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.told.append("cut")
            raise

    @hookimpl
    async def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> Any:
        self.told.append(f"start {total_items}")
        await self._hold(START)

    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        self.told.append("finish")
        await self._hold(FINISH)


# Start and finish, whichever way a run goes


async def by_stream(of: Pipeline) -> None:
    assert len([result async for result in of.stream(["x", "y"])]) == 2


async def by_shutdown(of: Pipeline) -> None:
    async with of:
        await start_with(of, ["x", "y"])


WAYS = [by_run, by_stream, by_feeding, by_shutdown]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Callable[[Pipeline], Awaitable[None]]:
    found: Callable[[Pipeline], Awaitable[None]] = request.param
    return found


def test_a_run_starts_and_finishes_once(way: Callable[[Pipeline], Awaitable[None]]) -> None:
    journal = Journal()
    total = 2 if way in (by_run, by_stream) else None

    async def main() -> None:
        await way(pipeline(journal))
        assert not others()

    simulate(main)
    assert journal.told == [
        f"start {total}",
        *("queued", "queued"),
        *["in_progress", "task start", "task complete", "completed!"] * 2,
        "finish",
    ]


def test_a_run_waits_for_a_start_and_a_finish_that_take_long(
    way: Callable[[Pipeline], Awaitable[None]],
) -> None:
    for hook in START, FINISH:
        holding = Holding(hook)

        async def main(holding: Holding = holding) -> None:
            await way(pipeline(holding))
            assert asyncio.get_running_loop().time() > LONG

        simulate(main)
        holding.check()
        assert "cut" not in holding.told


def test_several_plugins_start_and_finish_in_the_order_of_the_calls() -> None:
    told: list[str] = []

    def named(name: str) -> Any:
        async def start(self: object) -> None:
            told.append(f"{name} starts")
            await asyncio.sleep(1)
            told.append(f"{name} has started")

        return hooked(pipeline_start=start, pipeline_finish=lambda self: told.append(name))

    simulate(pipeline(named("a"), named("b")).run([1]))
    assert told == ["b starts", "b has started", "a starts", "a has started", "b", "a"]


def test_nothing_is_read_before_all_have_started() -> None:
    read: list[float] = []

    def items() -> Iterator[int]:
        read.append(asyncio.get_running_loop().time())
        yield 1

    simulate(pipeline(Holding(START)).run(items()))
    assert read[0] > LONG


def test_what_is_fed_before_the_start_waits_until_all_have_started() -> None:
    holding = Holding(START)

    async def main() -> None:
        one = pipeline(holding)
        await one.feed(["x"])
        starting = await begun(one.start())
        assert holding.told == ["queued", "start None"]
        await one.feed(["y"])
        await starting
        await one.join()

    simulate(main)
    assert holding.told[2:4] == ["queued", "in_progress"]


async def endless() -> AsyncIterator[int]:
    for number in range(3):
        yield number


@pytest.mark.parametrize(
    ("items", "total"),
    [
        ([1, 2], 2),
        (range(7), 7),
        ({1: 1}.values(), 1),
        ([], 0),
        ((each for each in "ab"), None),
        (endless(), None),
    ],
    ids=["list", "range", "values", "empty", "generator", "async"],
)
def test_how_many_items_there_are(items: Any, total: int | None) -> None:
    ends = Ends()
    simulate(pipeline(ends).run(items))
    assert ends.told == [f"start {total}", "finish"]


def test_each_run_starts_and_finishes(way: Callable[[Pipeline], Awaitable[None]]) -> None:
    ends = Ends()

    async def main() -> None:
        one = pipeline(ends)
        for _ in range(3):
            await way(one)

    simulate(main)
    ends.check(runs=3)


def test_quick_and_the_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    installed, given = Ends(), Ends()
    installed.antflow_name = "installed"
    install(monkeypatch, Entry("installed", lambda: installed))

    async def main() -> None:
        await Pipeline.quick([1], same)
        builder = Pipeline.create().add("Work", same).with_plugins(given)
        await builder.run([1])
        async for _ in builder.stream([1]):
            pass

    simulate(main)
    installed.check(runs=3)
    given.check(runs=2)


def test_a_pipeline_that_never_ran_is_not_told_of() -> None:
    journal = Journal()

    async def main() -> None:
        one = pipeline(journal)
        await one.feed(["x"])
        assert len(await one.shutdown()) == 1
        one.stream([1])

    simulate(main)
    assert journal.told == ["queued", "unprocessed!"]


def test_finish_is_told_what_failed_and_the_pipeline_shows_it() -> None:
    async def fail(value: Any) -> None:
        raise ValueError(value)

    ends = Ends()
    simulate(pipeline(ends, tasks=[fail]).run([1, 2]))
    assert ends.failed == [({"ValueError": 2}, 2)]


@pytest.mark.parametrize("as_stream", [False, True])
def test_an_input_that_raises(as_stream: bool) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    journal = Journal()

    async def main() -> None:
        one = pipeline(journal)
        error = await raised_by(drain(one.stream(items())) if as_stream else one.run(items()))
        assert isinstance(error, LookupError)
        assert not others()

    simulate(main)
    journal.check()
    assert journal.told.count("completed!") == 1


def test_a_task_that_ends_the_run() -> None:
    async def leave(value: Any) -> None:
        raise CustomExit

    journal = Journal()

    async def main() -> None:
        one = pipeline(journal, tasks=[leave])
        assert isinstance(await raised_by(one.run([1, 2])), CustomExit)
        check_conservation(one)
        assert not others()

    simulate(main)
    journal.check()


@pytest.mark.parametrize("manner", ["break", "aclose", "async with"])
def test_a_stream_that_is_left(manner: str) -> None:
    journal = Journal()

    async def leave(stream: Any) -> None:
        async for _ in stream:
            break
        if manner == "aclose":
            await stream.aclose()

    async def main() -> None:
        one = pipeline(journal)
        if manner == "async with":
            async with one.stream(range(100)) as stream:
                await leave(stream)
        else:
            await leave(one.stream(range(100)))
        await settle()
        assert not others()
        check_conservation(one)

    simulate(main)
    journal.check()
    assert "finish" not in journal.told[:-1]


def test_all_that_is_left_is_told_before_the_finish() -> None:
    journal, gate = Journal(), Gate()

    async def main() -> None:
        one = pipeline(journal, tasks=[gate])
        await start_with(one, range(5))
        assert len(await one.shutdown(timeout=0)) == 5

    simulate(main)
    assert journal.told[-8:] == ["task start", "task cancel", *["unprocessed!"] * 5, "finish"]


@pytest.mark.parametrize("phase", [START, "work", FINISH])
def test_cancelled_in_every_phase(phase: str) -> None:
    journal, holding, gate = Journal(), Holding(phase), Gate()
    if phase != "work":
        gate.open()

    async def main() -> None:
        one = pipeline(holding, journal, tasks=[gate])
        running = await begun(one.run(range(3)))
        await cancel(running)
        check_conservation(one)
        assert asyncio.get_running_loop().time() < LONG
        assert not one.plugin_faults

    simulate(main)
    journal.check()
    assert holding.told.count("cut") == (phase != "work")
    assert [each for each in holding.told if each != "cut"] == journal.told
    assert ("in_progress" in journal.told) == (phase != START)


@pytest.mark.parametrize("phase", [START, "work", FINISH])
def test_a_stream_that_is_cancelled_in_every_phase(phase: str) -> None:
    holding, gate = Holding(phase), Gate()
    if phase != "work":
        gate.open()

    async def main() -> None:
        one = pipeline(holding, tasks=[gate])

        async def consume() -> None:
            async with one.stream(range(3)) as stream:
                async for _ in stream:
                    pass

        running = await begun(consume())
        await cancel(running)
        check_conservation(one)
        assert asyncio.get_running_loop().time() < LONG

    simulate(main)
    assert [each for each in holding.told if each in ("start 3", "finish")] == ["start 3", "finish"]


def test_cancelled_again_while_it_finishes() -> None:
    holding, gate, last = Holding(FINISH), Gate(), Ends()

    async def main() -> None:
        one = pipeline(last, holding, tasks=[gate])
        running = await begun(one.run([1]))
        running.cancel()
        await settle()
        assert holding.told[-1] == "finish"
        await cancel(running)

    simulate(main)
    assert holding.told[-2:] == ["finish", "cut"]
    last.check()


def test_a_start_call_that_is_cancelled() -> None:
    holding = Holding(START)

    async def main() -> None:
        one = pipeline(holding)
        await one.feed(["x"])
        starting = await begun(one.start())
        await cancel(starting)
        assert len(one.unprocessed) == 1
        check_conservation(one)
        holding.seconds = 0
        assert values(await one.run(["y"])) == ["y"]

    simulate(main)
    assert holding.told[:5] == ["queued", "start None", "cut", "unprocessed!", "finish"]


@pytest.mark.parametrize("timeout", [None, 0, 5])
@pytest.mark.parametrize("drain", [False, True])
def test_shutdown_while_a_start_takes_long(drain: bool, timeout: float | None) -> None:
    holding = Holding(START)

    async def main() -> None:
        one = pipeline(holding)
        await one.feed(["x"])
        starting = await begun(one.start())
        await one.shutdown(drain=drain, timeout=timeout)
        await asyncio.wait([starting])
        check_conservation(one)
        assert not others()
        assert not one.plugin_faults

    simulate(main)
    holding.check()


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("drains", [False, True])
@pytest.mark.parametrize("begin", [by_run, by_streaming, by_feeding], ids=lambda way: way.__name__)
def test_shutdown_of_a_run_that_has_just_begun_pairs_start_and_finish(
    begin: Callable[[Pipeline], Awaitable[None]], drains: bool, turns: int
) -> None:
    ends = Ends()

    async def main() -> None:
        one = pipeline(ends)
        await one.feed(["early"])
        running = asyncio.create_task(raised_by(begin(one)))
        for _ in range(turns):
            await asyncio.sleep(0)
        await one.shutdown(drain=drains)
        await running
        await one.shutdown()  # of what was fed too late
        check_conservation(one)
        assert not others()

    simulate(main)
    told = [each.partition(" ")[0] for each in ends.told]
    assert told in ([], ["start", "finish"], ["start", "finish"] * 2)


def test_shutdown_at_its_time_limit_does_not_wait_for_a_finish() -> None:
    holding = Holding(FINISH)

    async def main() -> None:
        one = pipeline(holding)
        await one.start()
        await one.feed(["x"])
        await one.shutdown(drain=True, timeout=5)
        assert asyncio.get_running_loop().time() < 10

    simulate(main)
    assert holding.told[-2:] == ["finish", "cut"]


def test_a_start_hook_that_cancels_its_own_task_does_not_hang() -> None:
    async def start(self: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    ends = Ends()

    async def main() -> None:
        one = pipeline(ends, hooked(pipeline_start=start))
        await raised_by(one.run([1]))
        check_conservation(one)
        assert not others()

    simulate(main)
    ends.check()


# The context


def test_what_a_start_hook_sets_is_seen_by_workers_and_finish_and_not_outside(
    way: Callable[[Pipeline], Awaitable[None]],
) -> None:
    seen: list[str] = []

    async def start(self: object) -> None:
        VARIABLE.set("of the run")

    async def look(value: Any) -> Any:
        seen.append(VARIABLE.get())
        return value

    one = pipeline(
        hooked(pipeline_start=start, pipeline_finish=lambda self: seen.append(VARIABLE.get())),
        tasks=[look],
    )

    async def main() -> None:
        await way(one)
        assert VARIABLE.get() == "unset"

    simulate(main)
    assert seen == ["of the run"] * 3


def test_hooks_of_a_run_see_the_context_of_the_caller() -> None:
    seen: list[str] = []

    def look(self: object) -> None:
        seen.append(VARIABLE.get())

    async def main() -> None:
        VARIABLE.set("caller")
        one = pipeline(hooked(pipeline_start=look, pipeline_finish=look))
        await one.run([1])
        stream = one.stream([1])
        VARIABLE.set("later")
        async for _ in stream:
            pass

    simulate(main)
    assert seen == ["caller"] * 4


def test_what_one_run_sets_is_not_seen_by_the_next() -> None:
    seen: list[str] = []

    def start(self: object) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("set")

    async def main() -> None:
        one = pipeline(hooked(pipeline_start=start))
        await one.run([1])
        await one.run([1])

    simulate(main)
    assert seen == ["unset", "unset"]


# What takes part in one run only


PASSING = ["queued", "in_progress", "task start", "task complete", "completed!"]


def test_what_a_start_hook_returns_is_told_of_that_run_and_no_other() -> None:
    scoping = Scoping()

    async def main() -> None:
        one = pipeline(scoping)
        await one.run([1])
        await one.run([1])

    simulate(main)
    assert [journal.told for journal in scoping.made] == [[*PASSING, "finish"]] * 2


def test_of_two_pipelines_at_once_each_has_its_own() -> None:
    scoping = Scoping()

    async def main() -> None:
        await asyncio.gather(pipeline(scoping).run([1]), pipeline(scoping).run([1, 2]))

    simulate(main)
    assert [journal.told.count("queued") for journal in scoping.made] == [1, 2]


def test_of_nested_pipelines_each_has_its_own() -> None:
    scoping = Scoping()

    async def nest(value: Any) -> Any:
        return len(await pipeline(scoping).run(range(value)))

    simulate(pipeline(scoping, tasks=[nest]).run([3]))
    outer, inner = scoping.made
    assert (outer.told.count("queued"), inner.told.count("queued")) == (1, 3)
    assert outer.told.count("finish") == inner.told.count("finish") == 1


def test_none_takes_no_part() -> None:
    told: list[str] = []
    simulate(pipeline(Scoping(lambda: None), Journal(told)).run([1]))
    assert told == ["start 1", *PASSING, "finish"]


def test_what_takes_part_in_a_run_is_called_before_the_others() -> None:
    told: list[str] = []

    def named(name: str) -> Any:
        return hooked(
            task_start=lambda self: told.append(name),
            pipeline_finish=lambda self: told.append(f"{name} ends"),
        )

    simulate(pipeline(Scoping(lambda: named("scoped")), named("given")).run([1]))
    assert told == ["scoped", "given", "scoped ends", "given ends"]


def test_a_plugin_that_returns_itself_is_told_once() -> None:
    class Itself(Journal):
        @hookimpl
        def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> Any:
            return self

    journal = Itself()
    simulate(pipeline(journal).run([1]))
    assert journal.told == [*PASSING, "finish"]


def test_what_two_return_is_told_once() -> None:
    shared = Journal()
    one, two = Scoping(lambda: shared), Scoping(lambda: shared)
    two.antflow_name = "two"
    simulate(pipeline(one, two).run([1]))
    assert shared.told == [*PASSING, "finish"]


def test_a_tracker_may_take_part_in_a_run() -> None:
    scoping = Scoping(StatusTracker)
    simulate(pipeline(scoping).run([1, 2]))
    (tracker,) = scoping.made
    assert tracker.get_stats()["completed"] == 2


def test_what_takes_part_in_a_run_is_told_of_what_was_fed_before() -> None:
    scoping, journal = Scoping(), Journal()

    async def main() -> None:
        one = Pipeline([Stage("A", 1, [same]), Stage("B", 1, [same])], plugins=[scoping, journal])
        await one.feed(["x"])
        await one.feed(["y"], target_stage="B")
        await one.start()
        await one.join()

    simulate(main)
    (scoped,) = scoping.made
    assert scoped.told[:2] == ["queued", "queued"]
    assert Counter(scoped.told) == Counter(journal.told) - Counter(["start None"])


class SlowAtX(Journal):
    """Takes long when it is told that one item is queued."""

    @hookimpl
    async def antflow_item_status(self, event: StatusEvent) -> None:
        self.told.append(f"{event.status} {event.item_id} {event.stage}")
        if event.item_id == "x" and event.status == "queued":
            await asyncio.sleep(LONG)


def test_what_is_fed_while_a_run_s_own_is_told_of_the_earlier_is_told_once() -> None:
    scoping = Scoping(SlowAtX)

    async def main() -> None:
        one = Pipeline([Stage("A", 1, [same]), Stage("B", 1, [same])], plugins=[scoping])
        await one.feed([{"id": "x"}])
        starting = await begun(one.start())
        await one.feed([{"id": "y"}], target_stage="B")
        await starting
        await one.join()

    simulate(main)
    assert Counter(scoping.made[0].told)["queued y B"] == 1
    assert Counter(scoping.made[0].told)["queued x A"] == 1


def test_what_is_being_announced_when_a_run_starts_is_told_to_its_own_too() -> None:
    scoping = Scoping()

    async def main() -> None:
        one = pipeline(scoping, SlowAtX())
        feeding = await begun(one.feed([{"id": "x"}]))
        await one.start()
        await feeding
        await one.join()

    simulate(main)
    assert scoping.made[0].told == [*PASSING, "finish"]


def unmarked() -> object:
    return type("Bad", (), {"antflow_task_start": lambda self: None})()


def test_what_cannot_take_part_is_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal()

    async def main() -> None:
        one = pipeline(Scoping(unmarked), journal)
        assert values(await one.run([1])) == [1]
        assert one.plugin_faults == {"scoping": 1}

    simulate(main)
    journal.check()
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "lacks the marker" in str(record.exc_info[1])


def test_what_cannot_take_part_ends_a_strict_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")

    async def main() -> None:
        error = await raised_by(pipeline(Scoping(unmarked)).run([1]))
        assert isinstance(error, PluginError)
        assert (error.plugin, error.hook) == ("scoping", START)

    simulate(main)


def test_what_a_hook_returned_does_not_take_part_when_it_was_not_given() -> None:
    """A start hook that raises has returned nothing."""
    journal = Journal()

    def start(self: object) -> object:
        if journal.told == []:
            raise ValueError
        return journal

    simulate(pipeline(hooked(pipeline_start=start)).run([1]))
    assert journal.told == []


# Hooks that call the pipeline


async def call_feed(of: Pipeline) -> None:
    await of.feed(["more"])


async def call_join(of: Pipeline) -> None:
    await of.join()


async def call_shutdown(of: Pipeline) -> None:
    await of.shutdown()


async def call_drain(of: Pipeline) -> None:
    await of.shutdown(drain=True)


async def call_process(of: Pipeline) -> None:
    await of.process("more")


async def call_run(of: Pipeline) -> None:
    await of.run(["more"])


CALLS = [call_feed, call_join, call_shutdown, call_drain, call_process, call_run]


CASES = [
    pytest.param(hook, call, in_task, id=f"{hook} {call.__name__}{' in a task' * in_task}")
    for hook, call, in_task in product((START, FINISH), CALLS, (False, True))
    if not (hook == START and in_task and call in (call_shutdown, call_drain))  # see below
]


@pytest.mark.parametrize(("hook", "call", "in_task"), CASES)
@pytest.mark.parametrize("way", [by_run, by_feeding], ids=lambda way: way.__name__)
def test_a_hook_that_calls_the_pipeline_does_not_make_it_hang(
    hook: str,
    call: Callable[[Pipeline], Awaitable[None]],
    in_task: bool,
    way: Callable[[Pipeline], Awaitable[None]],
) -> None:
    errors: list[BaseException] = []

    async def ask(self: object, pipeline: Pipeline) -> None:
        try:
            await (asyncio.ensure_future(call(pipeline)) if in_task else call(pipeline))
        except BaseException as error:
            errors.append(error)
            raise

    plugin = hooked(**{hook.removeprefix("antflow_"): ask})
    is_allowed = call is call_feed and hook == START

    async def main() -> None:
        one = pipeline(plugin)
        await way(one)
        check_conservation(one)
        assert not others()
        assert one.plugin_faults == ({} if is_allowed else {"Hooked": 1})
        assert len(one.results) == (3 if is_allowed else 2)

    simulate(main)
    assert [type(error) for error in errors] == ([] if is_allowed else [PipelineError])


@pytest.mark.parametrize("call", [call_shutdown, call_drain], ids=lambda call: call.__name__)
def test_a_start_hook_that_has_a_task_shut_the_pipeline_down_does_not_make_it_hang(
    call: Callable[[Pipeline], Awaitable[None]],
) -> None:
    async def ask(self: object, pipeline: Pipeline) -> None:
        await asyncio.ensure_future(call(pipeline))

    async def main() -> None:
        one = pipeline(hooked(pipeline_start=ask))
        await by_run(one)
        check_conservation(one)
        assert not others()

    simulate(main)


# The start and the end of an item


class Items:
    """A plugin that notes when items start and finish, and nothing else."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, str, str | None]] = []
        self.context: list[str] = []

    @hookimpl
    def antflow_item_start(self, event: StatusEvent) -> None:
        assert (event.status, event.worker, event.final) == ("queued", None, False)
        self.told.append((event.item_id, "start", event.stage))
        self.context.append(VARIABLE.get())

    @hookimpl
    def antflow_item_finish(self, event: StatusEvent) -> None:
        assert event.final
        self.told.append((event.item_id, event.status, event.stage))

    def of(self, item_id: Any) -> list[tuple[str, str | None]]:
        return [(how, stage) for known, how, stage in self.told if known == item_id]


async def fails_at_two(value: int) -> int:
    if value == 2:
        raise ValueError(value)
    return value


@pytest.mark.parametrize("also", [(), (Journal(),)], ids=["alone", "with one that hears all"])
def test_an_item_starts_once_and_finishes_once(also: tuple[object, ...]) -> None:
    items = Items()
    first = Stage("First", 1, [same, fails_at_two], retry="per_stage", stage_attempts=2)
    last = Stage("Last", 1, [same], skip_if=lambda value: value == 1)
    simulate(lambda: Pipeline([first, last], plugins=[*also, items]).run([0, 1, 2]))
    assert items.of(0) == [("start", "First"), ("completed", "Last")]
    assert items.of(1) == [("start", "First"), ("skipped", "Last")]
    assert items.of(2) == [("start", "First"), ("failed", "First")]
    assert len(items.told) == 6


def test_an_item_starts_in_the_context_of_who_feeds_it() -> None:
    items = Items()

    async def main() -> None:
        async with Pipeline([Stage("Work", 1, [same])], plugins=[items]) as one:
            await one.start()
            VARIABLE.set("of the feeder")
            await one.process(1)
            VARIABLE.set("of another")
            await one.feed([2])
            await one.join()

    simulate(main)
    assert items.context == ["of the feeder", "of another"]


def test_an_item_that_is_left_finishes_unprocessed() -> None:
    items = Items()

    async def main() -> None:
        one = Pipeline([Stage("Work", 1, [check])], plugins=[items])
        await start_with(one, ["long", "waits"])
        await one.shutdown(timeout=0)
        assert len(one.unprocessed) == 2

    simulate(main)
    assert [how for _, how, _ in items.told] == ["start", "start", "unprocessed", "unprocessed"]


def test_what_a_run_is_joined_by_is_told_which_items_wait_already() -> None:
    items = Items()

    class Joining:
        @hookimpl
        def antflow_pipeline_start(self) -> object:
            return items

    async def main() -> None:
        one = Pipeline([Stage("Work", 1, [same])], plugins=[Joining()])
        await one.feed([1])
        await one.start()
        await one.join()

    simulate(main)
    assert items.told == [(0, "start", "Work"), (0, "completed", "Work")]


# The carrier


class Carrying:
    """A plugin that attaches something to each item, and looks for it ever after."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, str | None]] = []
        self.carriers: dict[Any, list[dict[str, str]]] = {}

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        self.note(event.stage, event)
        event.item.carrier.setdefault("trace", f"{event.stage} {event.attempt}")

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        if event.final:
            self.note(event.status, event)

    def note(self, what: str, event: StatusEvent | TaskEvent) -> None:
        carrier = event.item.carrier
        self.carriers.setdefault(event.item_id, []).append(carrier)
        self.seen.append((what, getattr(event, "attempt", 0), carrier.get("trace")))

    def check(self) -> None:
        """See that each item had one carrier and no other's."""
        for carriers in self.carriers.values():
            assert all(carrier is carriers[0] for carrier in carriers)
        distinct = {id(carriers[0]) for carriers in self.carriers.values()}
        assert len(distinct) == len(self.carriers)


class Flaky:
    """A task that fails at the first attempt of each value."""

    __name__ = "flaky"

    def __init__(self) -> None:
        self._seen: set[Any] = set()

    async def __call__(self, value: Any) -> Any:
        item = current_item()
        assert item is not None
        assert item.carrier["trace"] == "A 1"
        if value not in self._seen:
            self._seen.add(value)
            raise ValueError(value)
        return value


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_the_carrier_is_the_same_in_all_stages_and_attempts(retry: Any) -> None:
    carrying = Carrying()
    stages = [
        Stage("A", 1, [Flaky()], retry=retry, task_wait_seconds=0),
        Stage("B", 1, [Flaky()], retry=retry, task_wait_seconds=0),
    ]
    simulate(Pipeline(stages, plugins=[carrying]).run([7]))
    assert carrying.seen == [
        ("A", 1, None),
        ("A", 2, "A 1"),
        ("B", 1, "A 1"),
        ("B", 2, "A 1"),
        ("completed", 0, "A 1"),
    ]
    carrying.check()


def test_each_item_has_a_carrier_of_its_own() -> None:
    carrying = Carrying()
    simulate(pipeline(carrying).run(range(5)))
    assert len(carrying.carriers) == 5
    carrying.check()


def test_an_item_without_a_carrier_gets_none_by_being_looked_at_from_outside() -> None:
    async def main() -> None:
        one = pipeline()
        await one.feed(["x"])
        (left,) = await one.shutdown()
        assert left.carrier == {}

    simulate(main)
