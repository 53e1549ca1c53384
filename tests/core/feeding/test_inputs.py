"""What goes in: items with what is theirs, what is no input, and failures that go in again."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from collections import ChainMap
from collections.abc import AsyncIterator, Awaitable, Callable
from types import MappingProxyType
from typing import Any

import pytest

from antflow import Item, Pipeline, PipelineResult, TaskFunc, UnprocessedItem, current_item
from tests.helpers.observers import observe
from tests.helpers.runs import Failing, Use, by_feed, by_run, by_stream, fail, same, stage, values
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.naming import id_of

# Items


@pytest.mark.parametrize(
    ("item", "identity", "value", "metadata", "priority"),
    [
        (Item("x"), 0, "x", {}, 100),
        (Item(None), 0, None, {}, 100),
        (Item({"id": "no", "value": "no"}), 0, {"id": "no", "value": "no"}, {}, 100),
        (Item("x", id="a"), "a", "x", {}, 100),
        (Item("x", id=0), 0, "x", {}, 100),
        (Item("x", metadata={"k": 1}), 0, "x", {"k": 1}, 100),
        (Item("x", metadata={"id": 5}), 0, "x", {"id": 5}, 100),
        (Item("x", metadata=MappingProxyType({"k": 1})), 0, "x", {"k": 1}, 100),
        (Item("x", priority=5), 0, "x", {}, 5),
        (Item("x", priority=0), 0, "x", {}, 0),
        (Item(Item("x")), 0, Item("x"), {}, 100),
        # What is no Item is a value; only a dict with an id says more.
        ("text", 0, "text", {}, 100),
        (None, 0, None, {}, 100),
        ([1, 2], 0, [1, 2], {}, 100),
        ({}, 0, {}, {}, 100),
        ({"value": 1}, 0, {"value": 1}, {}, 100),
        ({"id": "a", "value": None}, "a", None, {}, 100),
        ({"id": None, "value": 1}, None, 1, {}, 100),
        ({"id": "a", "value": 1, "k": "v"}, "a", 1, {"k": "v"}, 100),
        ({"id": 5, "k": "v"}, 5, {"id": 5, "k": "v"}, {"k": "v"}, 100),
    ],
    ids=id_of,
)
@pytest.mark.parametrize("way", ["run", "stream", "feed", "process"])
def test_an_item_has_what_it_says(
    item: Any, identity: Any, value: Any, metadata: dict[str, Any], priority: int, way: str
) -> None:
    seen: list[Any] = []

    async def look(given: Any) -> Any:
        current = current_item()
        assert current is not None
        seen.append((current.id, given, dict(current.metadata), current.priority))
        return given

    async def main() -> None:
        pipeline = Pipeline([stage(look)])
        if way == "process":
            await pipeline.start()
            results = [await pipeline.process(item)]
            await pipeline.join()
        else:
            await {"run": by_run, "stream": by_stream, "feed": by_feed}[way](pipeline, [item])
            results = pipeline.results
        for result in results:
            assert (result.id, result.value, result.metadata) == (identity, value, metadata)

    simulate(main)
    assert seen == [(identity, value, metadata, priority)]


def test_a_priority_of_its_own_goes_before_that_of_the_feed() -> None:
    order: list[str] = []

    async def note(text: str) -> None:
        order.append(text)

    async def main() -> None:
        pipeline = Pipeline([stage(note)])
        await pipeline.feed(
            ["fed 50", Item("own 60", priority=60), Item("own 1", priority=1)], None, 50
        )
        await pipeline.feed(["fed 100", Item("own 55", priority=55)])
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    assert order == ["own 1", "fed 50", "own 55", "own 60", "fed 100"]


def test_an_item_that_is_fed_twice_shares_nothing() -> None:
    async def mark(value: Any) -> Any:
        current = current_item()
        assert current is not None
        current.metadata["seen"] = current.metadata.get("seen", 0) + 1
        return value

    item = Item(1, metadata={"k": "v"})
    results = simulate(Pipeline([stage(mark)]).run([item, item]))
    assert [result.metadata for result in results] == [{"k": "v", "seen": 1}] * 2
    assert item == Item(1, metadata={"k": "v"})


@pytest.mark.parametrize("way", ["failed", "left"])
def test_what_is_fed_again_twice_has_two_copies_of_its_carrier(way: str) -> None:
    seen: list[str | None] = []

    async def work(value: Any) -> None:
        current = current_item()
        assert current is not None
        seen.append(current.carrier.get("trace"))
        current.carrier["trace"] = f"call {len(seen)}"
        if len(seen) == 1:
            await (fail(value) if way == "failed" else asyncio.sleep(9))

    async def main() -> None:
        pipeline = Pipeline([stage(work)])
        await pipeline.start()
        await pipeline.feed([1])
        await settle()
        left = await pipeline.shutdown(timeout=0)
        again: list[Any] = [*pipeline.failures, *left] * 2
        await pipeline.feed(again)
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    assert seen == [None, "call 1", "call 1"]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (Item(1), "Item(1)"),
        (Item("x", id="a"), "Item('x', id='a')"),
        (
            Item("x", id=0, metadata={"k": 1}, priority=0),
            "Item('x', id=0, metadata={'k': 1}, priority=0)",
        ),
    ],
    ids=id_of,
)
def test_an_item_is_a_plain_value(item: Item, text: str) -> None:
    assert repr(item) == text
    assert copy.copy(item) == copy.deepcopy(item) == pickle.loads(pickle.dumps(item)) == item
    assert item != Item("another")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Item(1, metadata=[("k", 1)]), TypeError, "[('k', 1)]"),  # type: ignore[arg-type]
        (lambda: Item(1, priority="high"), ValueError, "'high'"),  # type: ignore[arg-type]
        (lambda: Item(1, priority=float("nan")), ValueError, "nan"),  # type: ignore[arg-type]
        (lambda: Item(1, "a"), TypeError, "positional"),  # type: ignore[call-arg]
    ],
)
def test_an_item_that_makes_no_sense_is_refused_at_once(
    make: Callable[[], Item], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        make()
    assert words in str(caught.value)


# What is one item where many are expected


class PandasFrame:
    """Iterates over its columns, as pandas' does; nothing else of it matters."""

    columns = ("a", "b")
    iloc = None

    def to_dict(self, orient: str) -> list[Any]:
        return [orient]

    def __iter__(self) -> Any:
        return iter(self.columns)


class PolarsFrame(PandasFrame):
    def to_dicts(self) -> list[Any]:
        return []


class ArrowTable:
    def __init__(self) -> None:
        self.columns = [[1], [2]]

    def to_pylist(self) -> list[Any]:
        return []

    def __iter__(self) -> Any:
        return iter(self.columns)


class Series:
    """A column of a frame, which iterates over its values."""

    iloc = None

    def to_dict(self) -> dict[int, int]:
        return {}

    def __iter__(self) -> Any:
        return iter([1, 2])


ONE = [
    ("text", "[text]"),
    ("", "[text]"),
    (b"data", "[data]"),
    (bytearray(b"data"), "[data]"),
    ({"a": 1}, "[mapping]"),
    ({"id": "a", "value": 1}, "[mapping]"),
    ({}, "mapping.items()"),
    (ChainMap({"a": 1}), "mapping.values()"),
    (PandasFrame(), 'frame.to_dict("records")'),
    (PolarsFrame(), "frame.to_dicts()"),
    (ArrowTable(), "table.to_pylist()"),
    (Item([1, 2]), "[item]"),
    (UnprocessedItem("a", 1, {}, 100, "Work", 0), "[item]"),
    (PipelineResult("a", 1, 0, error=ValueError(), stage="Work"), "[item]"),
]


async def quick(_: Pipeline, items: Any) -> Any:
    return await Pipeline.quick(items, same)


async def streamed(pipeline: Pipeline, items: Any) -> Any:
    return pipeline.stream(items)  # raises before it is iterated over


@pytest.mark.parametrize(("items", "remedy"), ONE, ids=id_of)
@pytest.mark.parametrize(
    "use",
    [
        Pipeline.run,
        streamed,
        Pipeline.feed,
        Pipeline.feed_async,
        quick,
        lambda pipeline, items: pipeline.create().add("Work", same).run(items),
    ],
    ids=["run", "stream", "feed", "feed_async", "quick", "builder"],
)
def test_one_item_is_refused_where_many_are_expected(
    use: Callable[[Pipeline, Any], Awaitable[Any]], items: Any, remedy: str
) -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        with pytest.raises(TypeError) as caught:
            await use(pipeline, items)
        assert remedy in str(caught.value)
        assert "Pipeline 'pipeline'" in str(caught.value)
        assert pipeline.get_stats().items_fed == 0

    simulate(main)


def test_a_long_text_is_not_repeated_in_the_error() -> None:
    with pytest.raises(TypeError) as caught:
        simulate(Pipeline([stage(same)]).run("x" * 10_000))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (Series(), [1, 2]),
        ({"a": 1, "b": 2}.values(), [1, 2]),
        ({"a": 1, "b": 2}.items(), [("a", 1), ("b", 2)]),
        (["text"], ["text"]),
    ],
    ids=["series", "values", "entries", "list"],
)
@pytest.mark.parametrize("use", [by_run, by_stream, by_feed])
def test_what_yields_items_is_read(use: Use, items: Any, expected: list[Any]) -> None:
    assert simulate(lambda: use(Pipeline([stage(same)]), items)) == expected


# Failures that are fed again


async def add_one(value: int) -> int:
    return value + 1


class Carrying:
    """An observer that attaches text to each item when it enters."""

    def antflow_item_start(self, event: Any) -> None:
        event.item.carrier["trace"] = f"of {event.item_id}"


def failed_in_second(*, tasks: list[TaskFunc] | None = None) -> tuple[Pipeline, list[Any]]:
    """Return a pipeline that failed in its second stage once, and what its second stage sees."""
    seen: list[Any] = []

    async def look(value: Any) -> Any:
        current = current_item()
        assert current is not None
        about = dict(current.metadata), current.priority, dict(current.carrier)
        seen.append((current.id, value, *about, current.attempt))
        return value

    failing = Failing(times=1)
    pipeline = Pipeline([stage(add_one, name="First"), stage(look, failing, name="Second")])
    observe(pipeline, Carrying())
    return pipeline, seen


@pytest.mark.parametrize("use", [by_run, by_stream, by_feed])
def test_a_failure_goes_back_to_where_it_failed(use: Use) -> None:
    pipeline, seen = failed_in_second()

    async def main() -> None:
        given = [Item(1, id="a", metadata={"k": "v"}, priority=7)]
        first = await pipeline.run(given, return_exceptions=True)
        assert [result.value for result in first] == [2]
        before = copy.deepcopy(first[0].metadata)
        assert await use(pipeline, first) == [2]
        assert [result.id for result in pipeline.results] in (["a"], [])  # none of a stream
        assert first[0].metadata == before
        assert first[0].error is not None

    simulate(main)
    about = {"k": "v"}, 7, {"trace": "of a"}
    assert seen == [("a", 2, *about, 1), ("a", 2, *about, 1)]


@pytest.mark.parametrize(
    "change",
    [copy.copy, copy.deepcopy, lambda result: pickle.loads(pickle.dumps(result))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_of_a_failure_keeps_what_the_item_has(
    change: Callable[[PipelineResult], PipelineResult],
) -> None:
    pipeline, seen = failed_in_second()

    async def main() -> None:
        await pipeline.run([Item(1, id="a", metadata={"k": "v"}, priority=7)])
        await pipeline.run([change(pipeline.failures[0])])

    simulate(main)
    assert seen[0] == seen[1]


def test_a_value_may_be_mended_before_the_failure_is_fed_again() -> None:
    async def invert(value: int) -> float:
        return 1 / value

    async def main() -> list[Any]:
        pipeline = Pipeline([stage(same), stage(invert, name="Invert")])
        await pipeline.run([0, 2])
        (failure,) = pipeline.failures
        failure.value = 4
        return values(await pipeline.run([failure]))

    assert simulate(main) == [0.25]


def test_failures_are_fed_again_among_others_and_keep_their_numbers() -> None:
    failing = Failing(times=1)

    async def once(value: int) -> int:
        return await failing(value) if value == 1 else value

    async def main() -> None:
        pipeline = Pipeline([stage(once)])
        await pipeline.run([0, 1, 2])
        results = await pipeline.run([*pipeline.failures, "new"])
        assert [(each.id, each.sequence_id, each.value) for each in results] == [
            (1, 1, 1),
            (2, 2, "new"),
        ]

    simulate(main)


def test_the_consumer_of_a_stream_may_feed_its_failures() -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def source() -> AsyncIterator[str]:
            yield "x"
            await done.wait()

        pipeline = Pipeline([stage(Failing(times=2))])
        outcomes = []
        async for result in pipeline.stream(source()):
            outcomes.append((result.id, result.sequence_id, result.is_success))
            if result.is_success:
                done.set()
            else:
                await pipeline.feed([result])
        assert outcomes == [(0, 0, False), (0, 1, False), (0, 2, True)]

    simulate(main)


def test_process_takes_a_failure_too() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(Failing(times=1))])
        await pipeline.start()
        failed = await pipeline.process(Item("x", id="a"))
        assert not failed.is_success
        mended = await pipeline.process(failed)
        assert (mended.id, mended.value, mended.error) == ("a", "x", None)
        await pipeline.join()

    simulate(main)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (PipelineResult("a", 1, 0), ["'a'", "not a failure", "Item(result.value"]),
        (PipelineResult("a", 1, 0, error=ValueError()), ["'a'", "not a failure"]),
        (
            PipelineResult("a", 1, 0, error=ValueError(), stage="Gone"),
            ["'a'", "'Gone' not found", "'Work'"],
        ),
        (UnprocessedItem("a", 1, {}, 100, "Gone", 0), ["'a'", "'Gone' not found", "'Work'"]),
    ],
    ids=["success", "without a stage", "of another stage", "left by another stage"],
)
@pytest.mark.parametrize("use", [by_run, by_stream, by_feed])
def test_a_result_that_has_nowhere_to_go_is_refused(
    use: Use, result: Any, words: list[str]
) -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(same)])
        with pytest.raises(ValueError, match="'a'") as caught:
            await use(pipeline, [0, result, 1])
        assert [word for word in words if word not in str(caught.value)] == []
        assert pipeline.get_stats().items_fed == 1

    simulate(main)


def test_a_failure_that_no_run_has_made_gets_the_priority_of_the_feed() -> None:
    seen = []

    async def look(value: Any) -> None:
        current = current_item()
        assert current is not None
        seen.append(current.priority)

    async def main() -> None:
        pipeline = Pipeline([stage(look)])
        await pipeline.feed(
            [PipelineResult("a", 1, 0, error=ValueError(), stage="Work")], priority=3
        )
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    assert seen == [3]


def test_a_failure_may_be_fed_as_often_as_it_fails() -> None:
    async def main() -> None:
        pipeline = Pipeline([stage(fail)])
        await pipeline.run(["x"])
        for _ in range(3):
            await pipeline.run(pipeline.failures)
            assert [(each.value, each.attempts) for each in pipeline.failures] == [("x", 1)]

    simulate(main)


# Tasks that feed past the capacity


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"queue_capacity": 1}, ["'Work'", "capacity of 1", "queue_capacity=0", "from outside"]),
        ({"queue_capacity": 0}, None),
        ({"queue_capacity": 100}, None),
    ],
    ids=["full", "unbounded", "room"],
)
def test_the_warning_of_growth_names_what_a_crawler_can_do(
    fields: dict[str, Any], words: list[str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async def visit(number: int) -> int:
            if number < 20:
                await pipeline.feed([number * 2 + 1, number * 2 + 2])
            return number

        pipeline = Pipeline([stage(visit, **fields)])
        assert len(await pipeline.run([0])) == 41

    simulate(main)
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == (words is not None)
    for text in texts:
        assert [word for word in words or () if word not in text] == []


def test_the_warning_of_a_pull_stage_names_what_can_be_set(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()

    async def main() -> None:
        async def visit(number: int) -> int:
            if number < 4:
                await pipeline.feed([number + 10, number + 20], "Pull")
            return number

        pipeline = Pipeline([stage(visit), stage(gate, name="Pull", pull=True)])
        await pipeline.start()
        await pipeline.feed([0])
        await settle()
        gate.open()
        await pipeline.join()

    simulate(main)
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "leave out pull" in record.getMessage()
