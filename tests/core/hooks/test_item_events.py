"""What observers are told in whole runs: the order of events, what they say, and what lasts.

Most tests run for one stage and for each place in a chain of three, and for observers with plain
functions and with coroutine functions. What is told of an item is compared in short: a status as
"queued A", with "!" behind an item's final one, and an attempt as "start A.task 1".
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar, Token
from itertools import groupby, product
from time import time
from typing import Any, NamedTuple

import pytest

from antflow import (
    Pipeline,
    PipelineError,
    Stage,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    current_item,
)
from tests.helpers.events import (
    LONG,
    ONCE,
    Chain,
    Event,
    Stop,
    Task,
    Watcher,
    cancel,
    check_laws,
    give_up,
    passing,
    run,
    short,
    under_way,
    watched,
)
from tests.helpers.observers import observe
from tests.helpers.runs import CustomExit, Failing, double, raised_by, same, values
from tests.helpers.virtual_time import Gate, others, simulate

HOOKS = [
    "antflow_item_status",
    "antflow_task_start",
    "antflow_task_success",
    "antflow_task_retry",
    "antflow_task_failure",
]
"""All but antflow_task_cancelled, which needs a run that is stopped."""


async def leave(value: Any) -> Any:
    raise CustomExit


# To the end of an item


def plain(value: int) -> int:
    return value


def refuse(value: int) -> bool:
    raise KeyError(value)


class Life(NamedTuple):
    """A stage of these tasks and settings, and what is told of an item that goes through it."""

    tasks: Callable[[], list[Any]]
    fields: dict[str, Any]
    told: str


ANEW: dict[str, Any] = {"retry": "per_stage"}
LIVES = {
    "it passes": Life(
        lambda: [Failing(0)], {}, "queued, in_progress, start task 1, complete task 1, completed"
    ),
    "several tasks": Life(
        lambda: [Failing(0, "one"), Failing(0, "two")],
        {},
        "queued, in_progress, start one 1, complete one 1, start two 1, complete two 1, completed",
    ),
    "a plain function": Life(
        lambda: [plain], {}, "queued, in_progress, start plain 1, complete plain 1, completed"
    ),
    "a task is tried again": Life(
        lambda: [Failing(2)],
        {"task_attempts": 3},
        "queued, in_progress, start task 1, retry task 1, start task 2, retry task 2, "
        "start task 3, complete task 3, completed",
    ),
    "the task before is not repeated": Life(
        lambda: [Failing(0, "one"), Failing(1, "two")],
        {},
        "queued, in_progress, start one 1, complete one 1, start two 1, retry two 1, "
        "start two 2, complete two 2, completed",
    ),
    "a task fails": Life(
        lambda: [Failing(9)],
        {"task_attempts": 2},
        "queued, in_progress, start task 1, retry task 1, start task 2, fail task 2, failed",
    ),
    "a stage is tried again": Life(
        lambda: [Failing(0, "one"), Failing(1, "two")],
        ANEW,
        "queued, in_progress, start one 1, complete one 1, start two 1, retry two 1, "
        "retrying, in_progress, start one 2, complete one 2, start two 2, "
        "complete two 2, completed",
    ),
    "a stage fails": Life(
        lambda: [Failing(9)],
        {**ANEW, "stage_attempts": 2},
        "queued, in_progress, start task 1, retry task 1, retrying, in_progress, "
        "start task 2, fail task 2, failed",
    ),
    "the one attempt fails": Life(
        lambda: [Failing(9)], ONCE, "queued, in_progress, start task 1, fail task 1, failed"
    ),
    "the one attempt at a stage fails": Life(
        lambda: [Failing(9)],
        {**ANEW, **ONCE},
        "queued, in_progress, start task 1, fail task 1, failed",
    ),
    "CancelledError is raised": Life(
        lambda: [Task(give_up)], {}, "queued, in_progress, start task 1, fail task 1, failed"
    ),
    "CancelledError is raised, per stage": Life(
        lambda: [Task(give_up)], ANEW, "queued, in_progress, start task 1, fail task 1, failed"
    ),
    "it is skipped": Life(lambda: [Failing(9)], {"skip_if": lambda value: True}, "queued, skipped"),
    "it is not skipped, as skip_if raises": Life(
        lambda: [Failing(0)],
        {"skip_if": refuse},
        "queued, in_progress, start task 1, complete task 1, completed",
    ),
}


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_what_is_told_of_an_item(watcher: Watcher, chain: Chain, life: Life) -> None:
    tasks = life.tasks()
    pipeline = run(watcher, chain.stages(*tasks, **life.fields), threads=plain in tasks)
    assert watcher.of(0) == chain.expect(life.told)
    assert len(pipeline.failures) == life.told.endswith("failed")


def test_a_stage_that_pulls(watcher: Watcher) -> None:
    run(watcher, [Stage("A", 1, [same]), Stage("B", 1, [same], pull=True)], range(4))
    for item_id in range(4):
        assert watcher.of(item_id) == [*passing("A"), *passing("B")[:-1], "completed B!"]


def test_every_item_is_told_alike(watcher: Watcher, chain: Chain) -> None:
    run(watcher, chain.stages(Failing(0), workers=3), range(20))
    expected = chain.expect("queued, in_progress, start task 1, complete task 1, completed")
    assert watcher.lines() == dict.fromkeys(range(20), expected)


def test_callbacks_of_the_stage_are_called_between_completed_and_queued() -> None:
    order: list[str] = []
    tracker = StatusTracker(lambda event: order.append(short(event)))
    stage = Stage("A", 1, [same], on_success=lambda *_: order.append("on_success"))

    async def main() -> None:
        await Pipeline([stage, Stage("B", 1, [same])], status_tracker=tracker).run([0])

    simulate(main)
    assert order[2:5] == ["completed A", "on_success", "queued B"]


def test_a_stage_that_is_tried_again_among_others(watcher: Watcher, chain: Chain) -> None:
    pipeline = run(watcher, chain.stages(Failing(2), retry="per_stage", workers=2), range(9))
    assert values(pipeline.results) == list(range(9))
    assert len({tuple(lines) for lines in watcher.lines().values()}) == 1


def test_a_task_that_raises_another_base_exception_fails_and_ends_the_run(
    watcher: Watcher, chain: Chain
) -> None:
    async def main() -> None:
        pipeline = watched(chain.stages(Task(leave)), watcher)
        with pytest.raises(CustomExit):
            await pipeline.run([0])
        assert not others()

    simulate(main)
    check_laws(watcher)
    assert watcher.of(0) == chain.expect("queued, in_progress, start task 1, fail task 1, failed")


def test_a_skip_is_told_by_the_worker(watcher: Watcher) -> None:
    run(watcher, [Stage("A", 1, [same], skip_if=lambda value: True)])
    assert [event.worker for event in watcher.statuses()] == [None, "A-W0"]


# Processing, feeding, feeding again


@pytest.mark.parametrize("fails", [0, 9])
def test_an_item_that_is_processed(watcher: Watcher, chain: Chain, fails: int) -> None:
    async def main() -> None:
        pipeline = watched(chain.stages(Failing(fails), task_attempts=1), watcher)
        await pipeline.start()
        result = await pipeline.process({"id": "x", "value": 7})
        assert watcher.of("x")[-1].endswith("!")
        assert result.is_success == (not fails)
        await pipeline.join()

    simulate(main)
    check_laws(watcher)
    ending = "fail task 1, failed" if fails else "complete task 1, completed"
    assert watcher.of("x") == chain.expect(f"queued, in_progress, start task 1, {ending}")


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_an_item_that_is_injected_has_not_been_in_the_stages_before(
    watcher: Watcher, name: str
) -> None:
    async def main() -> None:
        pipeline = watched([Stage(name, 1, [same]) for name in "ABC"], watcher)
        await pipeline.start()
        await pipeline.feed([0], target_stage=name)
        await pipeline.join()

    simulate(main)
    check_laws(watcher)
    expected = [line for later in "ABC" if later >= name for line in passing(later)]
    assert watcher.of(0) == [*expected[:-1], "completed C!"]


def test_what_is_fed_before_the_start_is_queued_then(watcher: Watcher, chain: Chain) -> None:
    async def main() -> None:
        pipeline = watched(chain.stages(Failing(0)), watcher)
        await pipeline.feed([0, 1])
        assert [short(event) for event in watcher.events] == ["queued A", "queued A"]
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    check_laws(watcher)
    entries = "queued, in_progress, start task 1, complete task 1, completed"
    assert watcher.of(0) == watcher.of(1) == chain.expect(entries)


def test_an_unprocessed_item_that_is_fed_again(watcher: Watcher, chain: Chain) -> None:
    again = type(watcher)()

    async def main() -> None:
        stop = Stop(chain, watcher)
        pipeline, running = await stop.running(retry="per_stage")
        left = await pipeline.shutdown(timeout=0)
        await running
        observe(pipeline, again)
        stop.gate.open()
        await pipeline.feed(left)
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    check_laws(watcher)
    check_laws(again)
    entries = "queued, in_progress, start task 1, complete task 1, completed"
    skipped = len(chain.before())
    assert again.of(0) == again.of(1) == chain.expect(entries)[skipped:]
    assert {event.run_id for event in watcher.events}.isdisjoint(
        event.run_id for event in again.events
    )


def test_the_attempts_of_an_item_that_is_fed_again_begin_anew(watcher: Watcher) -> None:
    async def main() -> None:
        stage = Stage("A", 1, [Failing(2)], retry="per_stage", stage_attempts=3)
        pipeline = watched([stage], watcher)
        held = StatusTracker(lambda event: asyncio.sleep(LONG * (event.status == "retrying")))
        observe(pipeline, held, watcher)
        running = asyncio.create_task(pipeline.run([0]))
        await asyncio.sleep(LONG / 2)
        left = await pipeline.shutdown()
        await running
        observe(pipeline, watcher)
        watcher.events.clear()
        await pipeline.feed(left)
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    assert [line for line in watcher.of(0) if "task" in line] == [
        "start A.task 1",
        "retry A.task 1",
        "start A.task 2",
        "complete A.task 2",
    ]


def test_what_a_task_feeds_is_told(watcher: Watcher) -> None:
    async def crawl(value: int) -> int:
        if value < 3:
            await pipeline.feed([value + 1])
        return value

    pipeline = watched([Stage("A", 1, [Task(crawl)])], watcher)
    simulate(lambda: pipeline.run([0]))
    check_laws(watcher)
    assert set(watcher.lines()) == {0, 1, 2, 3}


# What the events say


def test_all_events_of_a_run_name_it(watcher: Watcher, chain: Chain) -> None:
    async def main() -> None:
        pipeline = watched(chain.stages(Failing(1)), watcher, name="mine")
        for _ in range(2):
            await pipeline.run(range(3))

    simulate(main)
    assert {event.pipeline for event in watcher.events} == {"mine"}
    ids = [run_id for run_id, _ in groupby(event.run_id for event in watcher.events)]
    assert len(ids) == len(set(ids)) == 2


def test_times_are_unix_times(watcher: Watcher, chain: Chain) -> None:
    before = time()
    run(watcher, chain.stages(Failing(1)))
    stamps = [event.timestamp for event in watcher.events]
    assert before <= stamps[0] <= stamps[-1] <= time()
    assert stamps == sorted(stamps)


def test_workers_are_named(watcher: Watcher, chain: Chain) -> None:
    run(watcher, chain.stages(Failing(1), retry="per_stage"))
    queued = [event.worker for event in watcher.statuses() if event.status == "queued"]
    assert queued == [None] * chain.number
    others = [event for event in watcher.events if getattr(event, "status", "") != "queued"]
    assert [event.worker for event in others] == [f"{event.stage}-W0" for event in others]


def test_a_failure_says_what_failed(watcher: Watcher, chain: Chain) -> None:
    run(watcher, chain.stages(Failing(9), task_attempts=2))
    *earlier, last = watcher.statuses()
    assert last.metadata == {"error": "0, attempt 2", "error_type": "ValueError"}
    assert all(event.metadata == {} for event in earlier)


def test_a_failure_whose_text_cannot_be_had(watcher: Watcher) -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise KeyError

    async def fail(value: int) -> None:
        raise Silent

    run(watcher, [Stage("A", 1, [fail], task_attempts=1)])
    assert watcher.statuses()[-1].metadata["error_type"] == "Silent"


def test_retrying_says_which_attempt_is_coming_and_why(watcher: Watcher, chain: Chain) -> None:
    run(watcher, chain.stages(Failing(2), retry="per_stage"))
    said = [event.metadata for event in watcher.statuses() if event.status == "retrying"]
    assert said == [
        {"attempt": 2, "retry": True, "error": "0, attempt 1", "error_type": "ValueError"},
        {"attempt": 3, "retry": True, "error": "0, attempt 2", "error_type": "ValueError"},
    ]
    assert all(not event.metadata for event in watcher.statuses() if event.status != "retrying")


def test_attempts_say_what_they_raised(watcher: Watcher) -> None:
    errors = [ValueError(1), KeyError(2), TypeError(3)]

    async def fail(value: int) -> None:
        raise errors[len(raised)]

    raised: list[object] = []
    watching = StatusTracker(on_task_retry=lambda event: raised.append(event.error))

    async def main() -> None:
        await watched([Stage("A", 1, [fail])], watching, watcher).run([0])

    simulate(main)
    assert [(event.event_type, event.error) for event in watcher.attempts()] == [
        ("start", None),
        ("retry", errors[0]),
        ("start", None),
        ("retry", errors[1]),
        ("start", None),
        ("fail", errors[2]),
    ]


@pytest.mark.parametrize(("retry", "delay"), [("per_task", 30.0), ("per_stage", 0.0)])
def test_a_retry_says_after_how_long(watcher: Watcher, retry: Any, delay: float) -> None:
    run(watcher, [Stage("A", 1, [Failing(9)], retry, task_wait_seconds=30)])
    assert [(event.event_type, event.delay) for event in watcher.attempts()] == [
        ("start", None),
        ("retry", delay),
        ("start", None),
        ("retry", delay),
        ("start", None),
        ("fail", None),
    ]


def test_an_attempt_that_succeeds_says_nothing_of_errors_and_delays(watcher: Watcher) -> None:
    run(watcher, [Stage("A", 1, [same])])
    assert [(event.error, event.delay) for event in watcher.attempts()] == [(None, None)] * 2


def test_a_duration_is_that_of_the_function_alone(watcher: Watcher, chain: Chain) -> None:
    calls = Failing(2)

    async def take_five_seconds(value: int) -> Any:
        await asyncio.sleep(5)
        return await calls(value)

    run(watcher, chain.stages(Task(take_five_seconds)), tick=0.0)
    ends = [event for event in watcher.attempts() if event.event_type != "start"]
    took = [5.0 if event.task_name == "task" else 0.0 for event in ends]
    assert [event.duration for event in ends] == pytest.approx(took)
    assert sum(took) == 15
    starts = [event.duration for event in watcher.attempts() if event.event_type == "start"]
    assert starts == [None] * len(ends)


def test_the_duration_of_a_cancelled_attempt_ends_with_it(stop: Stop) -> None:
    async def main() -> float:
        _, running = await stop.running()
        await cancel(running)
        return LONG

    simulate(main, tick=0.0)
    (event,) = (event for event in stop.watcher.attempts() if event.event_type == "cancel")
    assert event.duration is not None
    assert LONG - 20 < event.duration <= LONG


def test_statistics_do_not_count_the_time_of_hooks(watcher: Watcher) -> None:
    async def take_five_seconds(value: int) -> None:
        await asyncio.sleep(5)
        raise ValueError

    pipeline = run(watcher, [Stage("A", 1, [take_five_seconds])], tick=0.0)
    duration = pipeline.get_stats().stage_stats["A"].tasks["take_five_seconds"].duration
    assert duration.count == 3
    assert duration.sum == pytest.approx(15)


def test_the_wait_in_front_of_a_stage_is_told(watcher: Watcher) -> None:
    async def main() -> None:
        pipeline = watched([Stage("A", 1, [Task(lambda value: asyncio.sleep(10))])], watcher)
        await pipeline.feed([0])
        await asyncio.sleep(50)
        await pipeline.start()
        await pipeline.join()

    simulate(main, tick=0.0)
    assert [event.queue_wait for event in watcher.attempts()] == [pytest.approx(50)] * 2


def test_the_wait_is_that_in_front_of_the_present_stage(watcher: Watcher) -> None:
    stages = [Stage(name, 1, [Task(lambda value: asyncio.sleep(10))]) for name in "AB"]
    run(watcher, stages, tick=0.0)
    assert max(event.queue_wait for event in watcher.attempts()) <= 1.0


def test_the_wait_of_a_stage_s_retry_is_measured_anew(watcher: Watcher) -> None:
    async def main() -> None:
        pipeline = watched([Stage("A", 1, [Failing(1)], retry="per_stage")], watcher)
        await pipeline.feed([0])
        await asyncio.sleep(50)
        await pipeline.start()
        await pipeline.join()

    simulate(main, tick=0.0)
    assert [event.attempt for event in watcher.attempts()] == [1, 1, 2, 2]
    waits = [event.queue_wait for event in watcher.attempts()]
    assert waits == pytest.approx([50, 50, 0, 0])


def test_the_value_is_what_entered_the_stage_until_it_is_completed(chain: Chain) -> None:
    seen: list[tuple[str, Any]] = []

    class Reader(Watcher):
        def told(self, event: Event) -> None:
            if event.stage == chain.name:
                seen.append((short(event).split()[0], event.item.value))

    run(Reader(), chain.stages(double, double), [7])
    assert seen == [
        ("queued", 7),
        ("in_progress", 7),
        ("start", 7),
        ("complete", 7),
        ("start", 7),
        ("complete", 7),
        ("completed", 28),
    ]


def test_a_failed_item_keeps_what_entered_the_stage() -> None:
    seen: list[Any] = []
    tracker = StatusTracker(lambda event: seen.append(event.item.value))
    stage = Stage("A", 1, [Task(lambda value: asyncio.sleep(1, "new")), Failing(9)])

    async def main() -> None:
        await Pipeline([stage], status_tracker=tracker).run(["old"])

    simulate(main)
    assert set(seen) == {"old"}


def test_the_carrier_survives_a_shutdown_and_feeding_again(watcher: Watcher, chain: Chain) -> None:
    carriers: list[dict[str, str]] = []

    class Tracing(Watcher):
        def told(self, event: Event) -> None:
            if event.item_id == 0 and isinstance(event, StatusEvent) and event.status == "queued":
                event.item.carrier.setdefault("trace", event.run_id)
            carriers.append(dict(event.item.carrier))

    async def main() -> str:
        stop = Stop(chain, watcher)
        pipeline = stop.pipeline()
        observe(pipeline, Tracing(), watcher)
        running = await under_way(pipeline.run([0, 1]))
        left = await pipeline.shutdown(timeout=0)
        await running
        trace = watcher.events[0].run_id
        assert {item.id: item.carrier for item in left} == {0: {"trace": trace}, 1: {}}
        carriers.clear()
        stop.gate.open()
        await pipeline.feed([item for item in left if item.id == 0])
        await pipeline.start()
        await pipeline.join()
        return trace

    trace = simulate(main)
    assert carriers == [{"trace": trace}] * (5 * (chain.number - chain.at))


# Context


VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


class Contextual(Watcher):
    """Sets a context variable when an attempt starts, and resets it when it has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[asyncio.Task[Any] | None] = []
        self._token: dict[str, Token[str]] = {}

    def antflow_task_start(self, event: TaskEvent) -> Any:
        self.tasks.append(asyncio.current_task())
        self._token[event.worker] = VARIABLE.set(f"{event.item_id} {event.attempt}")
        return self.told(event)

    def end(self, event: TaskEvent) -> Any:
        assert VARIABLE.get() == f"{event.item_id} {event.attempt}"
        VARIABLE.reset(self._token.pop(event.worker))
        self.tasks.append(asyncio.current_task())
        return self.told(event)

    antflow_task_success = antflow_task_retry = antflow_task_failure = antflow_task_cancelled = end


class SlowContextual(Contextual):
    """The same by coroutine functions that wait before and after."""

    async def antflow_task_start(self, event: TaskEvent) -> None:
        await asyncio.sleep(1)
        super().antflow_task_start(event)
        await asyncio.sleep(1)

    async def slow_end(self, event: TaskEvent) -> None:
        await asyncio.sleep(1)
        self.end(event)
        await asyncio.sleep(1)

    antflow_task_success = antflow_task_retry = slow_end
    antflow_task_failure = antflow_task_cancelled = slow_end


@pytest.fixture(params=[Contextual, SlowContextual])
def contextual(request: pytest.FixtureRequest) -> Contextual:
    found: Contextual = request.param()
    return found


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_hooks_and_task_share_a_context(contextual: Contextual, retry: Any) -> None:
    seen: list[str] = []

    async def task(value: int) -> None:
        seen.append(VARIABLE.get())
        contextual.tasks.append(asyncio.current_task())
        if len(seen) < 3:
            raise ValueError

    run(contextual, [Stage("A", 1, [task], retry)])
    assert seen == ["0 1", "0 2", "0 3"]
    assert len(contextual.tasks) == 9
    assert len(set(contextual.tasks)) == 1
    assert not contextual._token


def test_hooks_and_a_failing_task_share_a_context(contextual: Contextual) -> None:
    run(contextual, [Stage("A", 3, [Failing(9)])], range(5))
    assert not contextual._token
    assert not any(event for event in contextual.attempts() if event.event_type == "complete")


def test_a_plain_function_sees_in_its_thread_what_a_start_hook_has_set(
    contextual: Contextual,
) -> None:
    def task(value: int) -> tuple[str, bool]:
        return VARIABLE.get(), threading.current_thread() is threading.main_thread()

    pipeline = run(contextual, [Stage("A", 2, [task])], range(3), threads=True)
    assert values(pipeline.results) == [(f"{number} 1", False) for number in range(3)]


def test_hooks_and_a_cancelled_task_share_a_context(contextual: Contextual) -> None:
    async def main() -> None:
        running = await under_way(watched([Stage("A", 2, [Gate()])], contextual).run(range(5)))
        await cancel(running)

    simulate(main)
    check_laws(contextual)
    assert not contextual._token
    assert [event.event_type for event in contextual.attempts()] == ["start"] * 2 + ["cancel"] * 2


def test_what_a_start_hook_sets_is_seen_by_the_hooks_of_others_and_by_callbacks() -> None:
    seen: list[str] = []
    setting = StatusTracker(on_task_start=lambda event: VARIABLE.set("set"))
    reading = StatusTracker(
        lambda event: seen.append(VARIABLE.get()) if event.status == "completed" else None,
        on_task_start=lambda event: seen.append(VARIABLE.get()),
    )
    stage = Stage("A", 1, [same], on_success=lambda *_: seen.append(VARIABLE.get()))

    async def main() -> None:
        await watched([stage], setting, reading).run([0])
        assert VARIABLE.get() == "unset"

    simulate(main)
    assert seen == ["set"] * 3


def test_hooks_may_ask_for_the_current_item() -> None:
    seen: list[Any] = []

    def ask(event: TaskEvent) -> None:
        item = current_item()
        seen.append(None if item is None else (item.id, item.stage, item.attempt))

    tracker = StatusTracker(on_task_start=ask, on_task_retry=ask, on_task_complete=ask)
    stage = Stage("A", 1, [Failing(1)], retry="per_stage")
    simulate(lambda: watched([stage], tracker).run([0]))
    assert seen == [(0, "A", 1), (0, "A", 1), (0, "A", 2), (0, "A", 2)]


# Observers that raise


FAULTS = [ValueError("of a hook"), asyncio.CancelledError("of a hook")]
EXITS = [KeyboardInterrupt("of a hook"), SystemExit("of a hook")]


class Faulty(Watcher):
    """Raises in one hook."""

    def __init__(self, hook: str, error: BaseException) -> None:
        super().__init__()
        self._error = error
        setattr(self, hook, self.fail)

    def fail(self, event: Event) -> Any:
        self.events.append(event)
        raise self._error


class FaultyLater(Faulty):
    """Raises in one hook, a coroutine function, after a second."""

    async def fail(self, event: Event) -> None:
        await asyncio.sleep(1)
        super().fail(event)


def mixed_stages() -> list[Stage]:
    """Stages whose items go through every status but the last, and every end but one."""

    async def check(value: int) -> int:
        if value == 3:
            raise ValueError(value)
        return value

    return [
        Stage("A", 2, [Failing(1), Failing(0, "two")], task_wait_seconds=1),
        Stage("B", 2, [check], retry="per_stage", skip_if=lambda value: value == 1),
        Stage("C", 2, [Failing(1)], retry="per_stage"),
    ]


def outcome(*observers: object) -> tuple[list[Any], list[Any]]:
    async def main() -> tuple[list[Any], list[Any]]:
        pipeline = watched(mixed_stages(), *observers)
        await pipeline.run(range(5))
        assert not others()
        return values(pipeline.results), values(pipeline.failures)

    found: tuple[list[Any], list[Any]] = simulate(main)
    return found


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", [Faulty, FaultyLater])
def test_an_observer_that_raises_changes_nothing(
    hook: str, error: BaseException, kind: type[Faulty], caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed, first, last, faulty = Watcher(), Watcher(), Watcher(), kind(hook, error)
    expected = outcome(undisturbed)
    assert outcome(first, faulty, last) == expected == ([0, 1, 2, 4], [3])
    assert first.lines() == last.lines() == faulty.lines() == undisturbed.lines()
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.exc_info[2] is not None
    assert hook in record.getMessage()


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("error", EXITS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", [Faulty, FaultyLater])
def test_an_observer_may_end_the_run(
    hook: str, error: BaseException, kind: type[Faulty], caplog: pytest.LogCaptureFixture
) -> None:
    first, last, faulty = Watcher(), Watcher(), kind(hook, error)

    async def main() -> Pipeline:
        pipeline = watched(mixed_stages(), first, faulty, last)
        running = asyncio.create_task(raised_by(pipeline.run(range(5))))
        assert await running is error
        assert not others()
        return pipeline

    pipeline = simulate(main)
    check_laws(first)
    assert not any(record.exc_info for record in caplog.records)
    finals = [event.item_id for event in first.statuses() if event.final]
    ended = [item.id for item in pipeline.results + pipeline.failures]
    assert sorted(finals) == sorted(ended + [item.id for item in pipeline.unprocessed])
    for item_id in finals:
        assert first.statuses_of(item_id) == last.statuses_of(item_id)


@pytest.mark.parametrize("kind", [Faulty, FaultyLater])
def test_an_observer_that_ends_the_run_when_an_attempt_starts_has_it_cancelled(
    kind: type[Faulty],
) -> None:
    watcher, faulty, task = Watcher(), kind("antflow_task_start", EXITS[0]), Failing(0)

    async def main() -> None:
        pipeline = watched([Stage("A", 1, [task])], watcher, faulty)
        assert await raised_by(pipeline.run([0])) is EXITS[0]
        assert values(pipeline.unprocessed) == [0]

    simulate(main)
    check_laws(watcher)
    assert task.calls == []
    assert watcher.of(0)[-2:] == ["cancel A.task 1", "unprocessed A!"]


@pytest.mark.parametrize("error", EXITS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", [Faulty, FaultyLater])
def test_an_observer_may_raise_what_ends_a_run_when_an_attempt_is_cancelled(
    error: BaseException, kind: type[Faulty], stop: Stop
) -> None:
    async def main() -> None:
        pipeline = stop.pipeline()
        observe(pipeline, kind("antflow_task_cancelled", error), stop.watcher)
        running = await under_way(raised_by(pipeline.run([0, 1])))
        assert await raised_by(pipeline.shutdown(timeout=0)) is error
        assert await running is error
        assert not others()

    simulate(main)
    stop.check("queued, in_progress, start task 1, cancel task 1, unprocessed")


def test_an_observer_may_end_the_run_at_its_end() -> None:
    watcher = Watcher()

    async def main() -> None:
        faulty = Faulty("antflow_item_finish", EXITS[1])
        pipeline = watched([Stage("A", 1, [same])], faulty, watcher)
        await pipeline.feed(range(3))
        assert await raised_by(pipeline.shutdown()) is EXITS[1]
        assert values(pipeline.unprocessed) == [0, 1, 2]

    simulate(main)
    check_laws(watcher)


# Whatever happens


class RandomWatcher(Watcher):
    """Takes a random time over each event, often none, and sometimes raises."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def told(self, event: Event) -> Any:
        self.events.append(event)
        draw = self._chance.random()
        if draw < 0.1:
            raise ValueError
        return self.wait() if draw < 0.6 else None

    async def wait(self) -> None:
        await asyncio.sleep(self._chance.choice([0, 0, 1, 5]))
        if self._chance.random() < 0.1:
            raise asyncio.CancelledError


class Scenario:
    """A pipeline drawn from a seed, watched by quick and by slow observers, and its end."""

    def __init__(self, number: int, seed: int) -> None:
        self.chance = random.Random(f"{number} {seed}")
        slow = [RandomWatcher(self.chance) for _ in range(2)]
        self.watchers: list[Watcher] = [Watcher(), slow[0], Watcher(), slow[1]]
        self.names = "ABC"[:number]
        self.pipeline = watched([self.stage(name) for name in self.names], *self.watchers)
        self.processed: list[Any] = []

    def stage(self, name: str) -> Stage:
        chance = self.chance
        return Stage(
            name,
            chance.randint(1, 3),
            [Task(self.work, f"task{number}") for number in range(chance.randint(1, 2))],
            chance.choice(["per_task", "per_stage"]),
            task_wait_seconds=chance.choice([0, 1]),
            skip_if=chance.choice([None, lambda value: value % 4 == 1]),
            queue_capacity=chance.choice([None, 1, 2]),
        )

    async def work(self, value: int) -> int:
        draw = self.chance.random()
        if draw < 0.5:
            await asyncio.sleep(self.chance.choice([0, 1, 5]))
        if draw < 0.2:
            raise ValueError if draw < 0.15 else asyncio.CancelledError
        return value

    async def run(self) -> None:
        """Run ten items, and stop in the middle or not."""
        running = asyncio.create_task(self.pipeline.run(range(10)))
        await asyncio.sleep(self.chance.choice([0, 1, 10, 30, 100]))
        way = self.chance.choice(["wait", "cancel", "worker", "stop"])
        if way == "cancel":
            running.cancel()
        elif way == "worker":
            self.cancel_one(task for task in others() if "-W" in task.get_name())
        elif way == "stop":
            await self.stop()
        await asyncio.wait([running])
        self.check_errors(running)

    async def serve(self) -> None:
        """Feed and process from several sides, cancel some of it, and stop."""
        await self.pipeline.start()
        callers = [asyncio.create_task(self.call(number)) for number in range(6)]
        for _ in range(3):
            await asyncio.sleep(self.chance.choice([0, 1, 5, 20]))
            self.cancel_one(callers)
        way = self.chance.choice(["join", "cancel", "stop"])
        ending = asyncio.create_task(self.stop() if way == "stop" else self.pipeline.join())
        if way == "cancel":
            await asyncio.sleep(self.chance.choice([0, 1, 5]))
            ending.cancel()
        await asyncio.wait([ending])
        await self.pipeline.shutdown(timeout=0)
        await asyncio.wait(callers)
        self.check_errors(ending, *callers)

    async def call(self, number: int) -> None:
        await asyncio.sleep(self.chance.choice([0, 1, 5]))
        run = self.pipeline._run
        if run is None or run.is_over:
            return
        if number % 2:
            result = await self.pipeline.process({"id": f"process {number}", "value": number})
            self.processed.append(result.id)
        else:
            items = [{"id": f"{number} {index}", "value": index} for index in range(4)]
            await self.pipeline.feed(items, target_stage=self.chance.choice(self.names))

    async def stop(self) -> None:
        drain, timeout = self.chance.random() < 0.3, self.chance.choice([None, 0, 3])
        try:
            await self.pipeline.shutdown(drain=drain, timeout=timeout)
        except PipelineError as error:
            assert "was cancelled" in str(error)  # noqa: PT017 - it need not be raised

    def cancel_one(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        tasks = sorted(tasks, key=asyncio.Task.get_name)
        if tasks:
            self.chance.choice(tasks).cancel()

    def check_errors(self, *tasks: asyncio.Task[Any]) -> None:
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                assert isinstance(task.exception(), PipelineError)

    def check(self) -> None:
        """Check the laws of what was told, and that it agrees with what the pipeline says."""
        first = self.watchers[0]
        check_laws(first)
        for item_id, watcher in product(first.lines(), self.watchers):
            assert watcher.statuses_of(item_id) == first.statuses_of(item_id)
        ended = {event.item_id: event.status for event in first.statuses() if event.final}
        passed = {
            item_id for item_id, status in ended.items() if status in {"completed", "skipped"}
        }
        failed = {item_id for item_id, status in ended.items() if status == "failed"}
        processed = set(self.processed)
        assert {result.id for result in self.pipeline.results} == passed - processed
        assert {result.id for result in self.pipeline.failures} == failed - processed
        self.check_left({item_id for item_id, status in ended.items() if status == "unprocessed"})

    def check_left(self, told: set[Any]) -> None:
        """Check what is left; what was still announced when the run was over was not fed."""
        left = [item.id for item in self.pipeline.unprocessed]
        assert len(left) == len(set(left))
        late = told - set(left)
        assert set(left) <= told
        assert all(len(self.watchers[0].of(item_id)) == 2 for item_id in late)
        stats = self.pipeline.get_stats()
        assert stats.items_fed == len(self.watchers[0].lines()) - len(late)
        assert stats.items_outstanding == 0


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("way", ["run", "serve"])
def test_whatever_happens_the_laws_hold(way: str, number: int, seed: int) -> None:
    scenario = Scenario(number, seed)
    simulate(getattr(scenario, way), seed=seed)
    scenario.check()
