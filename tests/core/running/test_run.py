"""What `run` promises: results and failures in order, inputs of any length, one run at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, PipelineResult, Stage
from tests.helpers.inputs import broken_after, broken_later, later
from tests.helpers.runs import (
    Counted,
    InputBrokeError,
    Use,
    by_feed,
    by_run,
    cancel,
    double,
    left,
    refuse_odd,
    same,
    stage,
    start_with,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate

# Results and failures


@simulated()
async def test_results_and_failures_are_in_input_order_though_the_last_ends_first() -> None:
    async def slow_at_first(value: int) -> int:
        await asyncio.sleep(10 - value)
        return await refuse_odd(value)

    pipeline = Pipeline([stage(slow_at_first, workers=5)])
    results: list[PipelineResult] = await pipeline.run(range(5), return_exceptions=True)
    assert values(results) == [0, 1, 2, 3, 4]
    assert [result.is_success for result in results] == [True, False, True, False, True]
    assert values(await pipeline.run(range(5))) == values(pipeline.results) == [0, 2, 4]
    assert values(pipeline.failures) == [1, 3]


@simulated()
async def test_a_failure_has_its_error_its_stage_and_what_entered_the_stage() -> None:
    async def fail(value: int) -> int:
        raise KeyError(value)

    pipeline = Pipeline([stage(double, name="Double"), stage(fail, name="Check")])
    assert await pipeline.run([{"id": "x", "value": 21, "size": "L"}]) == []
    (failure,) = pipeline.failures
    assert (failure.id, failure.value, failure.metadata) == ("x", 42, {"size": "L"})
    assert (failure.stage, failure.attempts, failure.is_success) == ("Check", 1, False)
    assert isinstance(failure.error, KeyError)


@simulated()
async def test_without_collecting_results_are_counted_and_failures_kept() -> None:
    pipeline = Pipeline([stage(refuse_odd)], collect_results=False)
    for return_exceptions in (False, True):
        assert await pipeline.run(range(4), return_exceptions=return_exceptions) == []
        assert pipeline.results == []
        assert values(pipeline.failures) == [1, 3]
        assert pipeline.get_stats().items_processed == 2


@simulated()
async def test_results_and_failures_can_be_read_while_it_runs() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, workers=3)])
    run = await begun(pipeline.run([1, 2, 3]))
    assert pipeline.results == []
    gate.let(2)
    gate.fail(3, ValueError())
    await settle()
    assert (values(pipeline.results), values(pipeline.failures)) == ([2], [3])
    assert pipeline.unprocessed == []
    gate.open()
    assert values(await run) == [1, 2]


def counts(pipeline: Pipeline) -> tuple[int, ...]:
    stats = pipeline.get_stats()
    assert stats.items_in_flight == stats.items_outstanding
    ended = stats.items_processed, stats.items_failed, stats.items_unprocessed
    return stats.items_fed, stats.items_outstanding, *ended


@simulated()
async def test_the_numbers_of_items_before_during_and_after_a_run() -> None:
    first, second = Gate(), Gate()
    pipeline = Pipeline([stage(first, name="First", workers=2), stage(second, name="Second")])
    assert counts(pipeline) == (0, 0, 0, 0, 0)
    run = await begun(pipeline.run(range(10)))
    first.let(0)
    first.fail(1, ValueError())
    await settle()
    assert counts(pipeline) == (10, 9, 0, 1, 0)
    assert pipeline.get_stats().queue_sizes == {"First": 6, "Second": 0}
    first.open()
    second.open()
    await run
    assert counts(pipeline) == (10, 0, 9, 1, 0)
    assert pipeline.get_stats().queue_sizes == {"First": 0, "Second": 0}


# Inputs


@simulated()
async def test_work_begins_while_input_is_still_being_read() -> None:
    gate = Gate()
    run = asyncio.create_task(Pipeline([stage(gate)]).run(later(["first", "second"])))
    await asyncio.sleep(1.5)
    assert gate.waiting == ["first"]
    gate.open()
    assert values(await run) == ["first", "second"]


@simulated()
async def test_an_endless_input_is_read_one_ahead_of_the_capacity() -> None:
    source, gate = Counted(), Gate()
    pipeline = Pipeline([stage(gate, workers=2, queue_capacity=3)], collect_results=False)
    run = await begun(pipeline.run(source))
    assert source.read == 2 + 3 + 1
    gate.let(0)
    await settle()
    assert source.read == 2 + 3 + 1 + 1
    await cancel(run)
    assert pipeline.get_stats().items_fed == source.read


@simulated()
async def test_an_endless_input_of_tasks_that_never_suspend_can_be_cancelled() -> None:
    pipeline = Pipeline([stage(same), stage(double, name="Next")], collect_results=False)
    run = asyncio.create_task(pipeline.run(Counted()))
    await asyncio.sleep(0.005)
    await cancel(run)
    stats = pipeline.get_stats()
    assert stats.items_processed > 100
    assert stats.items_fed == stats.items_processed + stats.items_unprocessed


@pytest.mark.parametrize("broken", [broken_after, broken_later])
@pytest.mark.parametrize(
    ("count", "results", "failures"), [(4, [0, 4], [1, 3]), (0, [], [])], ids=["later", "at once"]
)
@simulated()
async def test_what_was_read_is_finished_before_the_error_of_the_input_is_raised(
    broken: Callable[[int], Any], count: int, results: list[int], failures: list[int]
) -> None:
    pipeline = Pipeline([stage(refuse_odd), stage(double, name="Double")])
    with pytest.raises(InputBrokeError):
        await pipeline.run(broken(count))
    assert not others()
    assert (values(pipeline.results), values(pipeline.failures)) == (results, failures)
    assert pipeline.unprocessed == []


@simulated()
async def test_a_keyboard_interrupt_of_the_input_ends_the_run() -> None:
    def interrupted() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    pipeline = Pipeline([stage(Gate())])
    with pytest.raises(KeyboardInterrupt):
        await pipeline.run(interrupted())
    assert not others()
    assert left(pipeline) == [1]


# Definitions


@pytest.mark.parametrize("name", [7, None, b"books", ""])
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(PipelineError, match=f"not {name!r}"):
        Pipeline([stage(same)], name=name)


@pytest.mark.parametrize(
    ("stages", "named"),
    [(["x"], "'x'"), ("W", "'W'"), (Stage("Lonely", 1, [same]), "Lonely"), (5, "5")],
    ids=["list of texts", "text", "stage", "number"],
)
def test_what_is_no_list_of_stages_is_refused(stages: Any, named: str) -> None:
    with pytest.raises(PipelineError, match=named) as caught:
        Pipeline(stages)
    assert "list of stages" in str(caught.value)


@simulated()
async def test_a_generator_of_stages_makes_a_pipeline() -> None:
    stages: Any = (stage(same, name=name, workers=2) for name in ("First", "Last"))
    pipeline = Pipeline(stages)
    names = {name: [f"{name}-W0", f"{name}-W1"] for name in ("First", "Last")}
    assert pipeline.get_worker_names() == names
    assert values(await pipeline.run([1])) == [1]


@pytest.mark.parametrize("begin", ["run", "start"])
@simulated()
async def test_tasks_run_in_the_context_of_the_call_that_starts_the_run(begin: str) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def look(value: int) -> str:
        seen = variable.get()
        variable.set("of a worker")
        return seen

    pipeline = Pipeline([stage(look)])
    variable.set("at the start")
    if begin == "run":
        await pipeline.run([1])
    else:
        await pipeline.start()
        variable.set("at the feeding")
        await pipeline.feed([1])
        await pipeline.join()
    assert values(pipeline.results) == ["at the start"]
    assert variable.get() != "of a worker"


# One run after another, and two at once


@pytest.mark.parametrize("use", [by_run, by_feed])
@simulated()
async def test_a_second_run_starts_from_nothing(use: Use) -> None:
    pipeline = Pipeline([stage(refuse_odd)])
    assert await use(pipeline, range(4)) == [0, 2]
    assert await use(pipeline, [6]) == values(pipeline.results) == [6]
    assert pipeline.failures == []
    assert counts(pipeline) == (1, 0, 1, 0, 0)
    assert pipeline.results[0].sequence_id == 0


def test_one_pipeline_runs_on_one_loop_after_another() -> None:
    pipeline = Pipeline([stage(double)])

    async def main() -> list[Any]:
        return values(await pipeline.run([1, 2]))

    assert simulate(main) == simulate(main) == asyncio.run(main()) == [2, 4]


@pytest.mark.parametrize("begin", ["run", "start"])
@simulated()
async def test_two_runs_at_once_are_an_error_and_the_first_goes_on(begin: str) -> None:
    gate, source = Gate(), Counted(1)
    pipeline = Pipeline([stage(gate)], name="books")
    first = await begun(pipeline.run([1]) if begin == "run" else start_with(pipeline, [1]))
    for second in (pipeline.run(source), pipeline.start(), anext(pipeline.stream(source))):
        with pytest.raises(PipelineError, match=r"'books' is already running.*second Pipeline"):
            await second
    assert source.read == 0
    gate.open()
    await first
    if begin == "start":
        await pipeline.join()
    assert values(pipeline.results) == [1]


# Very many workers


@simulated()
async def test_ten_thousand_idle_workers_need_no_task_each() -> None:
    wide = [stage(same, name=name, workers=10_000) for name in ("Wide", "Last")]
    pipeline = Pipeline(wide)
    await start_with(pipeline, [1])
    assert len(others()) <= 4
    assert pipeline.get_stats().stage_stats["Wide"].workers["idle"] == 10_000
    await pipeline.join()
    assert values(pipeline.results) == [1]


@simulated()
async def test_a_stage_that_is_retried_as_a_whole_is_not_filled_past_its_capacity() -> None:
    pending: list[int] = []

    async def note(value: int) -> None:
        pending.append(pipeline.get_stats().queue_sizes["Second"])
        raise ValueError

    fields: dict[str, Any] = {"retry": "per_stage", "stage_attempts": 5, "queue_capacity": 1}
    first = stage(same, name="First", workers=2)
    pipeline = Pipeline([first, stage(note, name="Second", **fields)])
    await pipeline.run(range(30))
    assert len(pipeline.failures) == 30
    assert max(pending) <= 1 + 2 + 1
