"""What goes in: items with an id, metadata and a priority, and what is no input."""

from __future__ import annotations

import copy
import pickle
from collections import ChainMap
from collections.abc import AsyncIterator, Awaitable, Callable
from types import MappingProxyType
from typing import Any

import pytest

from antflow import Item, Pipeline, PipelineResult, UnprocessedItem, current_item
from antflow.inputs import single_item
from tests.helpers.runs import (
    Counted,
    Indexed,
    Use,
    by_feed,
    by_process,
    by_run,
    by_stream,
    same,
    stage,
)
from tests.helpers.simulated import simulated
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
@pytest.mark.parametrize("use", [by_run, by_stream, by_feed, by_process])
@simulated()
async def test_an_item_has_what_it_says(
    item: Any, identity: Any, value: Any, metadata: dict[str, Any], priority: int, use: Use
) -> None:
    seen: list[Any] = []

    async def look(given: Any) -> Any:
        current = current_item()
        assert current is not None
        seen.append((current.id, given, dict(current.metadata), current.priority))
        return given

    pipeline = Pipeline([stage(look)])
    assert await use(pipeline, [item]) == [value]
    assert seen == [(identity, value, metadata, priority)]
    for result in pipeline.results:
        assert (result.id, result.value, result.metadata) == (identity, value, metadata)


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


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (Item(1), "Item(1)"),
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


# One item where many are expected


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
    (
        17,
        "takes items from an iterable or async iterable, not from 17; put a single item in a list",
    ),
    (None, "not from None"),
]


async def quick(_: Pipeline, items: Any) -> Any:
    return await Pipeline.quick(items, same)


async def streamed(pipeline: Pipeline, items: Any) -> Any:
    return pipeline.stream(items)  # raises before it is iterated over


async def fed_after_the_start(pipeline: Pipeline, items: Any) -> None:
    async with pipeline:
        await pipeline.start()
        await pipeline.feed(items)


@pytest.mark.parametrize(("items", "remedy"), ONE, ids=id_of)
@pytest.mark.parametrize(
    "use",
    [
        Pipeline.run,
        streamed,
        Pipeline.feed,
        Pipeline.feed_async,
        fed_after_the_start,
        quick,
        lambda pipeline, items: pipeline.create().add("Work", same).run(items),
    ],
    ids=["run", "stream", "feed", "feed_async", "feed after start", "quick", "builder"],
)
@simulated()
async def test_one_item_is_refused_where_many_are_expected(
    use: Callable[[Pipeline, Any], Awaitable[Any]], items: Any, remedy: str
) -> None:
    pipeline = Pipeline([stage(same)])
    with pytest.raises(TypeError) as caught:
        await use(pipeline, items)
    assert remedy in str(caught.value)
    assert "Pipeline 'pipeline'" in str(caught.value)
    assert pipeline.get_stats().items_fed == 0


@pytest.mark.parametrize(
    ("items", "remedy"), [one for one in ONE if one[0] not in (17, None)], ids=id_of
)
def test_a_front_end_can_ask_whether_an_input_is_one_item(items: Any, remedy: str) -> None:
    assert remedy in (single_item(items) or "")


@pytest.mark.parametrize("items", [[], (), range(3), iter("a"), {1}, 3, None])
def test_what_may_be_many_items_is_none(items: object) -> None:
    assert single_item(items) is None


def test_a_long_text_is_not_repeated_in_the_error() -> None:
    with pytest.raises(TypeError) as caught:
        simulate(Pipeline([stage(same)]).run("x" * 10_000))
    assert len(str(caught.value)) < 300


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        yield number


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Series, [1, 2]),
        ({"a": 1, "b": 2}.values, [1, 2]),
        ({"a": 1, "b": 2}.items, [("a", 1), ("b", 2)]),
        (lambda: ["text"], ["text"]),
        (lambda: (number for number in range(3)), [0, 1, 2]),
        (Indexed, [0, 1, 2]),
        (lambda: Counted(2), [0, 1]),
        (numbers, [0, 1, 2]),
    ],
    ids=["series", "values", "entries", "list", "generator", "indices", "iterable", "async"],
)
@pytest.mark.parametrize("use", [by_run, by_stream, by_feed])
@simulated()
async def test_an_input_is_read_to_its_end(
    use: Use, make: Callable[[], Any], expected: list[Any]
) -> None:
    assert await use(Pipeline([stage(same, workers=2)]), make()) == expected


# Warnings of tasks that feed past the capacity


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"queue_capacity": 1},
            ["'Work'", "past its capacity", "capacity of 1", "queue_capacity=0", "from outside"],
        ),
        ({"queue_capacity": 0}, None),
        ({"queue_capacity": 100}, None),
    ],
    ids=["full", "unbounded", "room"],
)
@simulated()
async def test_one_warning_names_what_a_crawler_can_do(
    fields: dict[str, Any], words: list[str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def visit(number: int) -> int:
        if number < 20:
            await pipeline.feed([number * 2 + 1, number * 2 + 2])
        return number

    pipeline = Pipeline([stage(visit, **fields)])
    assert len(await pipeline.run([0])) == 41
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == (words is not None)
    for text in texts:
        assert [word for word in words or () if word not in text] == []


@simulated()
async def test_the_warning_of_a_pull_stage_names_what_can_be_set(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def visit(number: int) -> int:
        if number < 4:
            await pipeline.feed([number + 10, number + 20], "Pull")
        return number

    gate = Gate()
    pipeline = Pipeline([stage(visit), stage(gate, name="Pull", pull=True)])
    await pipeline.start()
    await pipeline.feed([0])
    await settle()
    gate.open()
    await pipeline.join()
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "leave out pull" in record.getMessage()
