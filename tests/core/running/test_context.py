"""What runs in a context: the worker, as seen from the functions that it calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from antflow import CurrentItem, Pipeline, Stage, WorkerState, current_item, set_task_status
from antflow.context import CURRENT_WORKER
from tests.helpers.runs import piped, run_exactly, stage, start_with, stats_of, watched_or_not
from tests.helpers.virtual_time import Gate, begun, settle, simulate


def worker_name() -> str:
    worker = CURRENT_WORKER.get()
    return str(getattr(worker, "name", worker))


def plain(_: Any) -> str:
    return worker_name()


async def coroutine(_: Any) -> str:
    return worker_name()


def test_outside_of_a_pipeline_there_is_no_worker() -> None:
    assert CURRENT_WORKER.get() is None


@pytest.mark.parametrize("task", [coroutine, plain])
def test_a_task_runs_on_behalf_of_its_worker(task: Callable[[Any], Any]) -> None:
    async def main() -> None:
        results = await Pipeline([Stage("Ask", workers=1, tasks=[task])]).run([0])
        assert [result.value for result in results] == ["Ask-W0"]

    simulate(main, threads=True)


def test_each_worker_has_a_context_of_its_own() -> None:
    async def main() -> None:
        seen: set[str] = set()

        async def meet(value: int) -> None:
            before = worker_name()
            await gate(value)
            assert worker_name() == before
            seen.add(before)

        gate = Gate()
        pipeline = Pipeline([Stage("Ask", workers=3, tasks=[meet])])
        running = await begun(pipeline.run(range(3)))
        gate.open()
        assert len(await running) == 3
        assert seen == {"Ask-W0", "Ask-W1", "Ask-W2"}

    simulate(main)


def test_callbacks_run_on_behalf_of_the_worker_too() -> None:
    async def main() -> None:
        seen: list[str] = []

        def note(*_: Any) -> None:
            seen.append(worker_name())

        def skips(value: int) -> bool:
            note()
            return value == 2

        async def fails_on_1(value: int) -> None:
            if value == 1:
                raise ValueError(value)

        stage = Stage(
            "Ask",
            workers=1,
            tasks=[fails_on_1],
            task_attempts=1,
            skip_if=skips,
            on_success=note,
            on_failure=note,
            on_skip=note,
        )
        await Pipeline([stage]).run(range(3))
        assert seen == ["Ask-W0"] * 6

    simulate(main)


def test_who_runs_a_pipeline_does_not_become_its_worker() -> None:
    async def main() -> None:
        stream = Pipeline([Stage("Ask", workers=1, tasks=[coroutine])]).stream([0])
        assert [CURRENT_WORKER.get() async for _ in stream] == [None]
        assert CURRENT_WORKER.get() is None

    simulate(main)


# The item at hand


def the_item() -> CurrentItem:
    item = current_item()
    assert item is not None
    return item


def described() -> tuple[Any, str, int, dict[str, Any], int, dict[str, str]]:
    """Return every field of the item at hand."""
    item = the_item()
    return item.id, item.stage, item.attempt, dict(item.metadata), item.priority, item.carrier


async def describe(_: Any) -> Any:
    return described()


def describe_in_a_thread(_: Any) -> Any:
    return described()


async def describe_in_another_thread(_: Any) -> Any:
    return await asyncio.to_thread(described)


async def describe_in_a_sub_task(_: Any) -> Any:
    (found,) = await asyncio.gather(describe(_))
    return found


@watched_or_not
@pytest.mark.parametrize(
    "task", [describe, describe_in_a_thread, describe_in_another_thread, describe_in_a_sub_task]
)
def test_a_task_knows_its_item(task: Callable[[Any], Any], watched: bool) -> None:
    async def main() -> None:
        pipeline = piped(stage(task, name="Ask"), watched=watched)
        await pipeline.start()
        await pipeline.feed([{"id": "a", "value": 1, "source": "x"}], priority=7)
        await pipeline.join()
        (result,) = pipeline.results
        assert result.value == ("a", "Ask", 1, {"source": "x"}, 7, {})

    simulate(main, threads=True)


def test_an_item_without_an_id_has_its_sequence_number() -> None:
    async def main() -> None:
        results = await piped(stage(describe)).run(list("abc"))
        assert [result.value[0] for result in results] == [0, 1, 2]
        assert [result.value[3:] for result in results] == [({}, 100, {})] * 3

    simulate(main)


def test_outside_of_a_worker_there_is_no_item() -> None:
    def items() -> Iterator[int]:
        assert current_item() is None
        yield 1

    async def main() -> None:
        assert current_item() is None
        stream = piped(stage(describe)).stream(items())
        assert [current_item() async for _ in stream] == [None]
        assert current_item() is None

    assert current_item() is None
    simulate(main)


@watched_or_not
def test_what_is_written_to_the_metadata_goes_on_with_the_item(watched: bool) -> None:
    async def count(value: int) -> int:
        metadata = the_item().metadata
        metadata["visits"] = metadata.get("visits", 0) + 1
        return value

    async def main() -> None:
        pipeline = piped(stage(count, name="A"), stage(count, count, name="B"), watched=watched)
        results = await pipeline.run([{"id": 0, "value": 1, "source": "x"}, 2])
        assert results[0].metadata == {"source": "x", "visits": 3}
        assert results[1].metadata == {"visits": 3}

    simulate(main)


def test_what_a_thread_writes_to_the_metadata_arrives() -> None:
    def note(value: int) -> int:
        the_item().metadata["thread"] = threading.current_thread().name
        return value

    async def main() -> None:
        (result,) = await piped(stage(note)).run([1])
        assert result.metadata == {"thread": "Work-T0"}

    simulate(main, threads=True)


@watched_or_not
def test_what_is_written_to_the_metadata_is_in_failures_and_in_what_is_left(watched: bool) -> None:
    gate = Gate()

    async def note(value: int) -> int:
        the_item().metadata["seen"] = value
        if value == 1:
            raise ValueError
        await gate(value)
        return value

    async def main() -> None:
        pipeline = piped(stage(note, workers=2), watched=watched)
        await start_with(pipeline, [1, 2])
        (left,) = await pipeline.shutdown(timeout=0)
        (failure,) = pipeline.failures
        assert (failure.metadata, left.metadata) == ({"seen": 1}, {"seen": 2})

    simulate(main)


def test_what_is_attached_to_the_carrier_travels_with_the_item() -> None:
    async def attach(value: str) -> str:
        the_item().carrier["trace"] = value
        return value

    async def look(_: str) -> dict[str, str]:
        return the_item().carrier

    async def main() -> None:
        pipeline = piped(stage(attach, name="A", workers=2), stage(look, name="B"))
        results = await pipeline.run(["x", "y"])
        assert [result.value for result in results] == [{"trace": "x"}, {"trace": "y"}]

    simulate(main)


def test_the_item_at_hand_shows_what_it_is_and_cannot_be_replaced() -> None:
    async def show(_: Any) -> str:
        with pytest.raises(AttributeError):
            the_item().id = "other"  # type: ignore[misc]
        return repr(the_item())

    async def main() -> None:
        (result,) = await piped(stage(show)).run([{"id": "a", "value": 1}])
        assert result.value == "CurrentItem(id='a', stage='Work', attempt=1)"

    simulate(main)


RETRIES: dict[str, dict[str, Any]] = {
    "per_task": {"task_attempts": 3, "task_wait_seconds": 1},
    "per_stage": {"retry": "per_stage", "stage_attempts": 3},
}


@watched_or_not
@pytest.mark.parametrize("fields", RETRIES.values(), ids=RETRIES)
def test_an_attempt_knows_its_number(fields: dict[str, Any], watched: bool) -> None:
    attempts: list[int] = []

    async def fail(_: Any) -> None:
        attempts.append(the_item().attempt)
        raise ValueError

    async def main() -> None:
        await piped(stage(fail, **fields), watched=watched).run([0, 1])
        assert sorted(attempts) == [1, 1, 2, 2, 3, 3]

    simulate(main)


@watched_or_not
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("per_task", [("first", 1), ("second", 1), ("second", 2), ("second", 3), ("third", 1)]),
        ("per_stage", [*((task, n) for n in (1, 2, 3) for task in ("first", "second"))]),
    ],
)
def test_attempts_are_of_the_task_or_of_the_stage(
    mode: str, expected: list[tuple[str, int]], watched: bool
) -> None:
    attempts: list[tuple[str, int]] = []

    async def first(value: int) -> int:
        attempts.append(("first", the_item().attempt))
        return value

    async def second(value: int) -> int:
        attempts.append(("second", the_item().attempt))
        if the_item().attempt < 3:
            raise ValueError
        return value

    async def third(value: int) -> int:
        attempts.append(("third", the_item().attempt))
        return value

    async def main() -> None:
        await piped(stage(first, second, third, **RETRIES[mode]), watched=watched).run([0])
        last = [] if mode == "per_task" else [("third", 3)]
        assert attempts == expected + last

    simulate(main)


@watched_or_not
def test_attempts_begin_anew_in_the_next_stage(watched: bool) -> None:
    async def succeed_at_third(_: int) -> int:
        if the_item().attempt < 3:
            raise ValueError
        return the_item().attempt

    async def main() -> None:
        for fields in RETRIES.values():
            pipeline = piped(
                stage(succeed_at_third, name="A", **fields),
                stage(describe, name="B"),
                watched=watched,
            )
            (result,) = await pipeline.run([0])
            assert result.value[2] == 1

    simulate(main)


@watched_or_not
def test_callbacks_know_the_item_too(watched: bool) -> None:
    seen: list[tuple[str, Any, str]] = []

    def noting(role: str) -> Callable[..., bool]:
        def note(*_: Any) -> bool:
            seen.append((role, the_item().id, the_item().stage))
            return bool(the_item().id == 2)

        return note

    async def refuse_1(value: int) -> int:
        if value == 1:
            raise ValueError
        return value

    async def main() -> None:
        roles = ("skip_if", "on_success", "on_failure", "on_skip")
        await piped(
            stage(refuse_1, name="Ask", **{role: noting(role) for role in roles}), watched=watched
        ).run(range(3))
        assert seen == [
            ("skip_if", 0, "Ask"),
            ("on_success", 0, "Ask"),
            ("skip_if", 1, "Ask"),
            ("on_failure", 1, "Ask"),
            ("skip_if", 2, "Ask"),
            ("on_skip", 2, "Ask"),
        ]

    simulate(main)


def test_what_a_callback_writes_to_the_metadata_arrives() -> None:
    async def note(*_: Any) -> None:
        the_item().metadata["noted"] = True

    async def main() -> None:
        (result,) = await piped(stage(coroutine, on_success=note)).run([0])
        assert result.metadata == {"noted": True}

    simulate(main)


@watched_or_not
@pytest.mark.parametrize("fields", RETRIES.values(), ids=RETRIES)
@pytest.mark.parametrize("role", ["on_success", "on_failure"])
def test_callbacks_are_told_how_many_attempts_were_made(
    role: str, fields: dict[str, Any], watched: bool
) -> None:
    attempts: list[int] = []

    def note(*_: Any) -> None:
        attempts.append(the_item().attempt)

    async def fail_twice(_: Any) -> None:
        if role == "on_failure" or the_item().attempt < 3:
            raise ValueError

    async def main() -> None:
        await piped(stage(fail_twice, **{role: note}, **fields), watched=watched).run([0])
        assert attempts == [3]

    simulate(main)


def test_a_pipeline_inside_of_a_task_has_items_of_its_own() -> None:
    async def outer(value: str) -> list[Any]:
        before = the_item().id
        (result,) = await piped(stage(describe, name="Inner")).run([{"id": "in", "value": 1}])
        assert the_item().id == before
        return [before, result.value[0]]

    async def main() -> None:
        (result,) = await piped(stage(outer, name="Outer")).run([{"id": "out", "value": 1}])
        assert result.value == ["out", "in"]

    simulate(main)


# What a task says of itself


def state_of(pipeline: Pipeline) -> WorkerState:
    return pipeline.get_worker_states()["Work-W0"]


def texts(pipeline: Pipeline) -> tuple[str | None, str | None]:
    """Return what the task says, and its name."""
    state = state_of(pipeline)
    return state.current_task, state.task_name


def test_outside_of_a_worker_nothing_is_said() -> None:
    assert not set_task_status("lost")

    async def main() -> None:
        stream = piped(stage(coroutine)).stream([0])
        assert [set_task_status("lost") async for _ in stream] == [False]

    simulate(main)


def saying(*said: str, **options: float) -> Callable[[Any], Any]:
    """Return a task that says one text after the other, a second each, and returns the answers."""

    async def task(_: Any) -> list[bool]:
        answers = []
        for text in said:
            answers.append(set_task_status(text, **options))
            await asyncio.sleep(1)
        return answers

    return task


@watched_or_not
def test_what_a_task_says_is_shown_until_it_says_something_else(watched: bool) -> None:
    async def main() -> None:
        pipeline = piped(stage(saying("one", "two")), watched=watched)
        running = asyncio.ensure_future(pipeline.run([0]))
        shown = []
        for _ in range(2):
            await asyncio.sleep(0.5)
            shown.append(texts(pipeline))
            await asyncio.sleep(0.5)
        assert shown == [("one", "task"), ("two", "task")]
        (result,) = await running
        assert result.value == [True, True]
        assert texts(pipeline) == (None, None)

    run_exactly(main)


@watched_or_not
def test_what_a_task_says_is_gone_with_the_next_task(watched: bool) -> None:
    async def main() -> None:
        silent = Gate("silent")
        pipeline = piped(stage(saying("loud"), silent, saying("again")), watched=watched)
        running = asyncio.ensure_future(pipeline.run([0]))
        await asyncio.sleep(2)
        assert texts(pipeline) == ("silent", "silent")
        silent.open()
        await settle()
        assert texts(pipeline) == ("again", "task")
        await running

    run_exactly(main)


@watched_or_not
def test_what_a_task_says_is_gone_with_the_next_item(watched: bool) -> None:
    async def speak_once(value: int) -> None:
        if value == 0:
            set_task_status("loud")
        await asyncio.sleep(2)

    async def main() -> None:
        pipeline = piped(stage(speak_once), watched=watched)
        running = asyncio.ensure_future(pipeline.run([0, 1]))
        await asyncio.sleep(1)
        assert texts(pipeline) == ("loud", "speak_once")
        await asyncio.sleep(2)
        assert (state_of(pipeline).current_item_id, *texts(pipeline)) == (
            1,
            "speak_once",
            "speak_once",
        )
        await running

    run_exactly(main)


@watched_or_not
def test_what_a_task_says_does_not_outlast_its_attempt(watched: bool) -> None:
    async def speak_and_fail(_: Any) -> None:
        if the_item().attempt == 1:
            set_task_status("connecting")
        await asyncio.sleep(2)
        raise ValueError

    async def main() -> None:
        fields = {"task_attempts": 2, "task_wait_seconds": 4}
        pipeline = piped(stage(speak_and_fail, **fields), watched=watched)
        running = asyncio.ensure_future(pipeline.run([0]))
        await asyncio.sleep(1)
        assert texts(pipeline) == ("connecting", "speak_and_fail")
        await asyncio.sleep(3)
        assert stats_of(pipeline).parked_items == 1
        assert texts(pipeline) == (None, None)
        await asyncio.sleep(3)
        assert texts(pipeline) == ("speak_and_fail", "speak_and_fail")
        await running

    run_exactly(main)


@watched_or_not
@pytest.mark.parametrize(
    ("min_interval", "answers"),
    [
        (0, [True, True, True, True, True]),
        (1, [True, True, True, True, True]),
        (1.5, [True, False, True, False, True]),
        (2, [True, False, True, False, True]),
        (3, [True, False, False, True, False]),
        (100, [True, False, False, False, False]),
    ],
)
def test_what_comes_too_early_is_left_out(
    min_interval: float, answers: list[bool], watched: bool
) -> None:
    async def main() -> None:
        said = [str(number) for number in range(len(answers))]
        pipeline = piped(stage(saying(*said, min_interval=min_interval)), watched=watched)
        running = asyncio.ensure_future(pipeline.run([0]))
        last = ""
        for number, is_shown in enumerate(answers):
            await asyncio.sleep(0.5)
            last = str(number) if is_shown else last
            assert texts(pipeline)[0] == last
            await asyncio.sleep(0.5)
        (result,) = await running
        assert result.value == answers

    run_exactly(main)


@watched_or_not
def test_each_item_may_speak_at_once(watched: bool) -> None:
    async def main() -> None:
        pipeline = piped(stage(saying("a", "b", min_interval=100)), watched=watched)
        results = await pipeline.run(range(3))
        assert [result.value for result in results] == [[True, False]] * 3

    run_exactly(main)


def test_the_throttle_is_the_item_s_and_not_the_task_s() -> None:
    async def main() -> None:
        first, second = saying("a", min_interval=100), saying("b", min_interval=100)
        (result,) = await piped(stage(first, second)).run([0])
        assert result.value == [False]

    run_exactly(main)


def test_two_workers_do_not_throttle_each_other() -> None:
    async def main() -> None:
        pipeline = piped(stage(saying("a", min_interval=100), workers=3))
        assert [result.value for result in await pipeline.run(range(3))] == [[True]] * 3

    run_exactly(main)


def test_a_plain_function_speaks_from_its_thread() -> None:
    spoken, heard = threading.Event(), threading.Event()

    def speak(_: Any) -> list[bool]:
        answers = [set_task_status("from a thread"), set_task_status("too early", 100)]
        spoken.set()
        heard.wait(10)
        return answers

    async def main() -> None:
        pipeline = piped(stage(speak))
        running = asyncio.ensure_future(pipeline.run([0]))
        await asyncio.to_thread(spoken.wait, 10)
        assert texts(pipeline) == ("from a thread", "speak")
        heard.set()
        (result,) = await running
        assert result.value == [True, False]

    simulate(main, threads=True)


def test_sub_tasks_speak_for_the_task() -> None:
    gate = Gate()

    async def sub_task(text: str) -> bool:
        said = set_task_status(text)
        await gate(text)
        return said

    async def task(_: Any) -> list[bool]:
        return [*await asyncio.gather(sub_task("a"), sub_task("b"))]

    async def main() -> None:
        pipeline = piped(stage(task))
        running = await begun(pipeline.run([0]))
        assert texts(pipeline) == ("b", "task")
        gate.open()
        (result,) = await running
        assert result.value == [True, True]

    simulate(main)


@pytest.mark.parametrize("role", ["skip_if", "on_success", "on_skip", "on_failure"])
def test_a_callback_speaks_while_it_runs(role: str) -> None:
    gate = Gate()

    async def callback(*arguments: Any) -> bool:
        assert set_task_status(role)
        await gate(role)
        return False

    async def task(_: Any) -> None:
        if role == "on_failure":
            raise ValueError

    async def main() -> None:
        fields: dict[str, Any] = {"skip_if": lambda _: role == "on_skip", role: callback}
        pipeline = piped(stage(task, **fields))
        running = await begun(pipeline.run([0]))
        assert texts(pipeline) == (role, "task")
        gate.open()
        await running

    simulate(main)


def test_what_is_said_in_a_pipeline_inside_of_a_task_is_said_there() -> None:
    gate = Gate()

    async def inner(_: Any) -> None:
        set_task_status("inside")
        await gate("inner")

    pipelines = {"inner": piped(stage(inner))}

    async def outer(_: Any) -> None:
        set_task_status("outside")
        await pipelines["inner"].run([0])

    async def main() -> None:
        pipelines["outer"] = piped(stage(outer))
        running = await begun(pipelines["outer"].run([0]))
        assert texts(pipelines["inner"]) == ("inside", "inner")
        assert texts(pipelines["outer"]) == ("outside", "outer")
        gate.open()
        await running

    simulate(main)


def test_what_is_said_is_in_the_snapshot_for_dashboards() -> None:
    gate = Gate()

    async def speak(value: Any) -> None:
        set_task_status("page 3 of 7")
        await gate(value)

    async def main() -> None:
        pipeline = piped(stage(speak))
        running = await begun(pipeline.run([0]))
        state = pipeline.get_dashboard_snapshot().worker_states["Work-W0"]
        assert (state.current_task, state.task_name) == ("page 3 of 7", "speak")
        gate.open()
        await running

    simulate(main)


def test_a_task_that_outlives_its_run_says_nothing() -> None:
    later: list[asyncio.Task[tuple[bool, Any]]] = []

    async def speak_late() -> tuple[bool, Any]:
        await asyncio.sleep(10)
        return set_task_status("too late"), current_item()

    async def task(_: Any) -> None:
        later.append(asyncio.ensure_future(speak_late()))

    async def main() -> None:
        await piped(stage(task)).run([0])
        assert await later[0] == (False, None)

    run_exactly(main)
