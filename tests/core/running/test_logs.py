"""Log records that say which item they are about."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest

from antflow import Pipeline, Stage
from antflow.logs import ItemFilter

FORMAT = "%(pipeline)s %(stage)s %(item_id)s %(attempt)s %(message)s"
logger = logging.getLogger("tests.of_logs")


class Lines(logging.StreamHandler[StringIO]):
    """A handler whose lines can be read."""

    def __init__(self) -> None:
        super().__init__(StringIO())
        self.setFormatter(logging.Formatter(FORMAT))

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def handler() -> Iterator[Lines]:
    """A handler of the root logger, with the filter on it."""
    lines = Lines()
    lines.addFilter(ItemFilter())
    logging.getLogger().addHandler(lines)
    logger.setLevel(logging.INFO)
    yield lines
    logging.getLogger().removeHandler(lines)
    logger.setLevel(logging.NOTSET)


async def fetch(value: str) -> str:
    logger.info("fetching")
    return value


def test_a_record_of_a_task_says_which_item_it_is_about(handler: Lines) -> None:
    pipeline = Pipeline([Stage("Fetch", 1, [fetch])], name="pages", autoload=False)
    asyncio.run(pipeline.run([{"id": "a", "value": 1}, {"id": "b", "value": 2}]))
    assert handler.lines == ["pages Fetch a 1 fetching", "pages Fetch b 1 fetching"]


def test_outside_of_a_task_there_is_a_dash(handler: Lines) -> None:
    logger.info("before")
    assert handler.lines == ["- - - - before"]


def test_what_is_said_outside_of_a_task_can_be_chosen() -> None:
    record = logging.makeLogRecord({"msg": "before"})
    assert ItemFilter(outside=None).filter(record)
    seen = vars(record)
    assert [seen[name] for name in ("pipeline", "stage", "item_id", "attempt")] == [None] * 4


@pytest.mark.parametrize("per_stage", [False, True])
def test_a_record_says_which_attempt_it_is(handler: Lines, per_stage: bool) -> None:
    async def fail(_: Any) -> None:
        logger.info("trying")
        raise ValueError

    stage = Stage("Try", 1, [fail], task_attempts=2, task_wait_seconds=0)
    if per_stage:
        stage = Stage("Try", 1, [fail], retry="per_stage", stage_attempts=2)
    asyncio.run(Pipeline([stage], autoload=False).run(["x"]))
    assert handler.lines[:2] == ["pipeline Try 0 1 trying", "pipeline Try 0 2 trying"]


def test_a_callback_and_the_engine_itself_log_for_the_item(handler: Lines) -> None:
    def fail(*_: Any) -> None:
        raise ValueError

    stage = Stage("Fetch", 1, [fetch], on_success=fail)
    asyncio.run(Pipeline([stage], autoload=False).run(["x"]))
    about = "pipeline Fetch 0 1 Stage 'Fetch': the callback of item 0 raised"
    assert any(line.startswith(about) for line in handler.lines)


def test_what_a_record_says_already_is_left_as_it_is(handler: Lines) -> None:
    async def work(_: Any) -> None:
        logger.info("working", extra={"stage": "mine"})

    asyncio.run(Pipeline([Stage("Work", 1, [work])], autoload=False).run(["x"]))
    assert handler.lines == ["pipeline mine 0 1 working"]
