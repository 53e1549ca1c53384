"""Priorities: which of the items that wait goes first."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from fractions import Fraction
from math import nan
from typing import Any

import pytest

from antflow import Item, Pipeline, UnprocessedItem
from tests.helpers.runs import same_later, stage, start_with, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, settle


@pytest.mark.parametrize("is_started", [False, True])
@simulated()
async def test_lower_priorities_go_first_and_equal_ones_in_order_of_arrival(
    is_started: bool,
) -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate)])
    if is_started:
        await start_with(pipeline, [Item("held", priority=-5)])
    await pipeline.feed(["a", Item("own 150", priority=150), Item("own 1", priority=1), "b"])
    await pipeline.feed(["fed 200", Item("own 2", priority=2)], priority=200)
    await pipeline.feed(["fed -1"], priority=-1)
    await pipeline.feed(["c"])
    gate.open()
    if not is_started:
        await pipeline.start()
    await pipeline.join()
    first = ["held"] if is_started else []
    expected = ["fed -1", "own 1", "own 2", "a", "b", "c", "own 150", "fed 200"]
    assert gate.entered == first + expected


@simulated()
async def test_an_item_keeps_its_priority_in_the_next_stage() -> None:
    first, second = Gate(), Gate()
    first.open()
    pipeline = Pipeline([stage(first, name="First"), stage(second, name="Second")])
    await start_with(pipeline, ["held", "low"])
    await pipeline.feed(["high"], priority=1)
    await settle()
    second.open()
    await pipeline.join()
    assert first.entered == ["held", "low", "high"]
    assert second.entered == ["held", "high", "low"]


def unprocessed(priority: Any) -> UnprocessedItem:
    return UnprocessedItem("x", "bad", {}, priority, "Work", 0)


Enter = Callable[[Pipeline, Any], Awaitable[Any]]
ENTER: dict[str, Enter] = {
    "feed": lambda pipeline, priority: pipeline.feed(["bad"], priority=priority),
    "process": lambda pipeline, priority: pipeline.process("bad", priority=priority),
    "feed again": lambda pipeline, priority: pipeline.feed([unprocessed(priority)]),
    "process again": lambda pipeline, priority: pipeline.process(unprocessed(priority)),
}


@pytest.mark.parametrize("enter", ENTER.values(), ids=ENTER)
@pytest.mark.parametrize("priority", ["high", None, nan, Fraction(5)])
@simulated()
async def test_a_bad_priority_is_refused_before_anything_is_counted(
    enter: Enter, priority: Any
) -> None:
    pipeline = Pipeline([stage(same_later)])
    await pipeline.start()
    await pipeline.feed([1])
    with pytest.raises(ValueError, match="an int or float.*" + re.escape(repr(priority))):
        await enter(pipeline, priority)
    await pipeline.feed([2])
    await pipeline.join()
    assert values(pipeline.results) == [1, 2]
    assert pipeline.get_stats().items_fed == 2
