"""However a run ends, and whatever the SDK raises, every span ends in its own context."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from antflow import Pipeline, PipelineResult, Stage, StatusEvent, TaskEvent, hookimpl
from tests.helpers.virtual_time import others, settle, simulate
from tests.packages.otel.test_item_traces import fails
from tests.packages.otel.tracing import Traced, ids, parent_of, same, stage

LONG = 1000.0


async def sleeps(value: Any) -> Any:
    await asyncio.sleep(LONG)
    return value


class Exit(BaseException):
    """Ends the run."""


def everything_has_ended(traced: Traced, one: Pipeline) -> None:
    assert not one.plugin_faults
    assert len(traced.named(one.name)) == one.get_stats().items_fed
    assert len(traced.named(f"run {one.name}")) == 1
    assert not others()
    known = {ids(span)[1] for span in traced.spans}
    assert all(span.parent is None or parent_of(span) in known for span in traced.spans)


UNPROCESSED, CANCELLED = ("unprocessed", False), ("cancelled", False)


@pytest.mark.usefixtures("no_complaints")
@pytest.mark.parametrize(
    ("options", "items", "outcomes"),
    [
        (
            {"task": sleeps, "workers": 1},
            2,
            {"letters": [UNPROCESSED] * 2, "Work": [CANCELLED], "Work sleeps": [CANCELLED]},
        ),
        (
            {"task": fails(1), "task_attempts": 2, "task_wait_seconds": LONG},
            1,
            {"letters": [UNPROCESSED], "Work": [UNPROCESSED], "Work work": [("retried", True)]},
        ),
    ],
    ids=["in an attempt", "between two attempts"],
)
def test_a_shutdown_ends_every_span(options: Any, items: int, outcomes: Any) -> None:
    traced = Traced()

    async def main() -> None:
        one = traced.pipeline(stage(**options))
        await one.start()
        await one.feed(range(items))
        await settle()
        await one.shutdown(timeout=0)
        everything_has_ended(traced, one)

    simulate(main)
    assert traced.outcomes() == outcomes


async def be_cancelled(one: Pipeline) -> None:
    running = asyncio.ensure_future(one.run(range(5)))
    await settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def leave_a_stream(one: Pipeline) -> None:
    async for _ in one.stream(range(1000)):
        break
    await settle()
    assert one.get_stats().items_fed < 1000


async def end_by_a_task(one: Pipeline) -> None:
    with pytest.raises(Exit):
        await one.run(range(5))


@pytest.mark.usefixtures("no_complaints")
@pytest.mark.parametrize(
    ("end", "task"),
    [
        (be_cancelled, sleeps),
        (leave_a_stream, same),
        (end_by_a_task, fails(2, error=Exit)),
    ],
)
def test_a_run_that_ends_early_ends_every_span(
    end: Callable[[Pipeline], Awaitable[None]], task: Any
) -> None:
    traced = Traced()
    one = traced.pipeline(stage(task=task), stage("B", workers=1))

    async def main() -> None:
        await end(one)
        everything_has_ended(traced, one)

    simulate(main)
    outcomes = [outcome for outcome, _ in traced.outcomes()["letters"]]
    assert outcomes.count("unprocessed") == len(one.unprocessed)
    if end is be_cancelled:
        assert traced.outcomes()["Work sleeps"] == [CANCELLED] * 2


@pytest.mark.usefixtures("no_complaints")
@pytest.mark.parametrize("seed", range(20))
def test_in_any_order_of_callbacks_each_span_ends_in_its_own_context(seed: int) -> None:
    traced = Traced()
    stages = [
        stage("A", fails(2, 5, 9), task_attempts=2, task_wait_seconds=0.5, workers=3),
        stage("B", fails(4, 6), retry="per_stage", stage_attempts=2),
        stage("C", sleeps, skip_if=lambda value: value % 7),
    ]
    one = traced.pipeline(*stages)

    async def main() -> None:
        await one.start()
        await one.feed(range(30))
        await asyncio.sleep(LONG / 2)
        await one.shutdown(timeout=1)
        everything_has_ended(traced, one)

    simulate(main, seed=seed)
    assert len(traced.named("letters")) == 30


@pytest.mark.usefixtures("no_complaints")
def test_a_cancellation_in_another_plugins_start_ends_the_attempt() -> None:
    class Slow:
        @hookimpl
        async def antflow_task_start(self, event: TaskEvent) -> None:
            await asyncio.sleep(LONG)

        @hookimpl
        async def antflow_item_status(self, event: StatusEvent) -> None:
            await asyncio.sleep(1)

    traced = Traced()
    one = traced.pipeline(stage(), plugins=[Slow()])

    async def main() -> None:
        await one.start()
        await one.feed([1])
        await asyncio.sleep(10)
        await one.shutdown(timeout=0)
        everything_has_ended(traced, one)

    simulate(main)
    assert traced.outcomes()["Work same"] == [CANCELLED]


# A sampler or a processor of spans that raises


class Raising(SpanProcessor):
    """A processor that raises at the first end of a span of a name."""

    def __init__(self, name: str) -> None:
        self.names = {name}

    def on_end(self, span: ReadableSpan) -> None:
        if span.name in self.names:
            self.names.remove(span.name)
            raise LookupError("from a processor of spans")


class RaisingOnce(Sampler):
    """A sampler that raises at the first span of a name."""

    def __init__(self, name: str) -> None:
        self.names = {name}

    def should_sample(self, *arguments: Any, **named: Any) -> Any:
        name = arguments[2]
        if name in self.names:
            self.names.remove(name)
            raise LookupError("from a sampler")
        return ALWAYS_ON.should_sample(*arguments, **named)

    def get_description(self) -> str:
        return "raises once"


TREE = ["run letters", "letters", "  A", "    A work", "    A work", "  B", "    B same"]


def stages_with_a_retry() -> list[Stage]:
    return [stage("A", fails(1), task_attempts=2, task_wait_seconds=1), stage("B")]


@pytest.mark.parametrize("name", ["letters", "A", "A work", "B", "B same"])
def test_a_processor_that_raises_at_the_end_of_a_span_leaves_no_other_open(name: str) -> None:
    traced = Traced()
    traced.provider.add_span_processor(Raising(name))
    one = traced.pipeline(*stages_with_a_retry())
    simulate(lambda: one.run(["x"]))
    assert traced.tree() == TREE
    assert sum(one.plugin_faults.values()) == 1
    for visit, attempt in (("A", "A work"), ("B", "B same")):
        assert traced.only(visit).end_time == traced.named(attempt)[-1].end_time


@pytest.mark.parametrize("is_in_attempt", [True, False])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_processor_that_raises_at_a_shutdown_leaves_no_other_open(
    is_in_attempt: bool, level: int
) -> None:
    tree = ["letters", "  Work", "    Work sleeps" if is_in_attempt else "    Work work"]
    traced = Traced()
    traced.provider.add_span_processor(Raising(tree[level].strip()))
    task = sleeps if is_in_attempt else fails(1)
    one = traced.pipeline(stage(task=task, task_attempts=2, task_wait_seconds=LONG))

    async def main() -> None:
        await one.start()
        await one.feed([1])
        await settle()
        await one.shutdown(timeout=0)

    simulate(main)
    assert traced.tree() == ["run letters", *tree]
    assert sum(one.plugin_faults.values()) == 1


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("letters", []),
        ("A same", ["letters", "  A", "  B", "    B same"]),  # A ends with the next visit
        ("B", ["letters", "  A", "    A same"]),
        ("B same", ["letters", "  A", "    A same", "  B"]),
    ],
)
def test_a_sampler_that_raises_costs_that_span_and_those_below(name: str, left: list[str]) -> None:
    traced = Traced(RaisingOnce(name))
    one = traced.pipeline(stage("A"), stage("B"))
    assert len(simulate(lambda: one.run(["x"]))) == 1
    assert traced.tree() == ["run letters", *left]
    assert sum(one.plugin_faults.values()) == 1


def test_an_attempt_ends_even_if_its_error_cannot_be_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(Span, "add_event", fail)
    traced = Traced()
    one = traced.pipeline(*stages_with_a_retry())
    simulate(lambda: one.run([1]))
    assert one.plugin_faults == {"otel.run": 1}
    assert traced.tree() == TREE


@pytest.mark.parametrize("raising", [[], ["letters"]])
def test_spans_of_items_whose_end_was_missed_end_with_the_run(raising: list[str]) -> None:
    traced = Traced()
    for name in raising:
        traced.provider.add_span_processor(Raising(name))
    one = traced.pipeline(stage())

    async def main() -> None:
        await one.start()
        observer: Any = traced.plugin.observers[0]
        items = [PipelineResult(number, "x", 0) for number in range(2)]
        events = [StatusEvent(i.id, "Work", "queued", None, 1.0).about(i) for i in items]
        for event in events:
            observer.antflow_item_start(event)
        await one.join()
        observer.antflow_item_finish(events[0])

    simulate(main)
    assert [span.name for span in traced.spans] == ["letters", "letters", "run letters"]
    assert traced.outcomes() == {"letters": [UNPROCESSED] * 2}
    assert traced.spans[0].start_time == 1_000_000_000  # the event's
    assert sum(one.plugin_faults.values()) == len(raising)
