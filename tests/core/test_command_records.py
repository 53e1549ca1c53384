"""Lines of JSON: what is written of results, and of inputs that have none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from antflow import PipelineResult
from antflow._cli.records import (
    UnwritableError,
    describe_item,
    describe_json_line,
    describe_text_line,
    encode_line,
    error_fields,
    failure_line,
    result_record,
    value_record,
)


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    path: PurePosixPath


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": [1, None, True, 1.5, "ü"]}, {"a": [1, None, True, 1.5, "ü"]}),
        (Point(1, PurePosixPath("a/b")), {"x": 1, "path": "a/b"}),
        (Colour.RED, "red"),
        (frozenset({1}), [1]),
        ((1, 2), [1, 2]),
        (date(2020, 1, 2), "2020-01-02"),
        (datetime(2020, 1, 2, tzinfo=UTC), "2020-01-02T00:00:00+00:00"),
        (time(1, 2), "01:02:00"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("half of a pair: \ud800", "half of a pair: \ud800"),
    ],
)
def test_the_json_of_a_value(value: Any, written: Any) -> None:
    line = encode_line(value)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == written


def test_letters_are_not_escaped() -> None:
    assert encode_line("ü") == '"ü"\n'.encode()


def endless() -> Iterator[list[Any]]:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    yield deep
    ring: list[Any] = []
    ring.append(ring)
    yield ring


@dataclass
class Unfinished:
    """A dataclass with a field that is not set."""

    done: str = field(init=False)


@pytest.mark.parametrize(
    "value",
    [object(), float("nan"), float("inf"), {(1, 2): 3}, b"bytes", Point, Unfinished(), *endless()],
)
def test_a_value_without_a_form_in_json_is_rejected_with_the_remedy(value: Any) -> None:
    with pytest.raises(UnwritableError, match="have the last stage return what JSON has"):
        encode_line(value)


def test_a_result_is_what_another_pipeline_reads_as_the_same_item() -> None:
    assert result_record(PipelineResult("a", 1, 0)) == {"id": "a", "value": 1}
    with_more = PipelineResult("a", 1, 0, {"kind": "b", "value": 2})
    assert result_record(with_more) == {"id": "a", "value": 1, "kind": "b"}
    assert value_record(with_more) == 1


def test_a_record_creates_no_details_of_the_result() -> None:
    result = PipelineResult("a", 1, 0)
    result_record(result)
    assert result.details is None


def test_a_failure_has_the_line_and_the_input() -> None:
    error = ValueError("not\nthis")
    line = failure_line("failed", describe_json_line((3, b'{"a": 1}')), id=2, **error_fields(error))
    assert json.loads(line) == {
        "status": "failed",
        "line": 3,
        "input": {"a": 1},
        "id": 2,
        "error_type": "ValueError",
        "error": "not this",
    }


def test_a_number_that_is_too_large_is_shown_as_it_was_read() -> None:
    assert describe_json_line((1, b'{"a": 1e999}')) == {"line": 1, "input": '{"a": 1e999}'}
    assert describe_json_line((1, b"1.5")) == {"line": 1, "input": 1.5}


def test_a_line_that_was_just_shallow_enough_is_shown_as_it_was_read() -> None:
    raw = b"[" * 100_000
    assert describe_json_line((1, raw)) == {"line": 1, "input": raw.decode()}


def test_undecodable_bytes_of_a_line_are_escaped() -> None:
    assert describe_text_line((1, b"a\xff")) == {"line": 1, "input": "a\\xff"}


def test_a_value_that_cannot_be_written_is_replaced_by_its_text() -> None:
    line = failure_line("unprocessed", describe_item((1, {1, 2}.__len__)), id=Unspeakable())
    written = json.loads(line)
    assert written["input"].startswith("<method-wrapper '__len__'")
    assert written["id"] == "(of type Unspeakable)"
