"""`PipelineResult`: its outcome, its fields, and copies of it."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from antflow import ItemDroppedError, PipelineResult, TaskFailedError, UnprocessedItem
from tests.helpers.runs import piped, same, stage
from tests.helpers.virtual_time import simulate


def result_of(**fields: Any) -> PipelineResult:
    return PipelineResult("a", 7, 0, **fields)


def made_by_a_user() -> PipelineResult:
    return PipelineResult("a", 1, 7, {"source": "x"})


def made_by_a_run() -> PipelineResult:
    async def main() -> PipelineResult:
        pipeline = piped(stage(same))
        await pipeline.feed([UnprocessedItem("a", 1, {"source": "x"}, 100, "Work", 7, {})])
        await pipeline.start()
        await pipeline.join()
        (result,) = pipeline.results
        return result

    return simulate(main)


both_kinds = pytest.mark.parametrize("make", [made_by_a_user, made_by_a_run])

OUTCOMES = [
    (result_of(), "succeeded", None),
    (result_of(metadata={"k": 1}), "succeeded", None),
    (dataclasses.replace(result_of(error=ValueError("x")), error=None), "succeeded", None),
    (result_of(error=ValueError("x")), "failed", ValueError),
    (result_of(error=SystemExit(2)), "failed", SystemExit),
    (result_of(error=asyncio.CancelledError(), stage="Work"), "failed", TaskFailedError),
    (result_of(outcome="dropped", reason="duplicate"), "dropped", ItemDroppedError),
    (result_of(outcome="dropped"), "dropped", ItemDroppedError),
    (result_of(outcome="expanded"), "expanded", None),
]


@pytest.mark.parametrize(("result", "outcome", "error"), OUTCOMES, ids=repr)
def test_a_result_has_an_outcome_and_is_unwrapped_accordingly(
    result: PipelineResult, outcome: str, error: type[BaseException] | None
) -> None:
    assert result.outcome == outcome
    assert result.is_success is (outcome == "succeeded")
    if error is None:
        assert result.unwrap() == 7
    else:
        with pytest.raises(error):
            result.unwrap()


def test_a_dropped_item_is_named_with_the_reason() -> None:
    with pytest.raises(ItemDroppedError, match="Item 'a' was dropped \\(duplicate\\)") as caught:
        result_of(outcome="dropped", reason="duplicate").unwrap()
    assert caught.value.reason == "duplicate"


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, dataclasses.replace, pickled])
@pytest.mark.parametrize(
    "result", [made_by_a_run(), *(result for result, _, _ in OUTCOMES)], ids=repr
)
def test_a_copy_has_the_same_fields(
    result: PipelineResult, duplicate: Callable[[PipelineResult], PipelineResult]
) -> None:
    twin = duplicate(result)
    assert twin is not result
    assert type(twin) is PipelineResult
    assert (twin.outcome, twin.reason) == (result.outcome, result.reason)
    assert repr(twin) == repr(result)
    assert (twin == result) is (result.error is None or twin.error is result.error)


@both_kinds
def test_a_result_is_compared_shown_matched_and_converted_as_a_dataclass(
    make: Callable[[], PipelineResult],
) -> None:
    result = make()
    assert result == made_by_a_user()
    assert dataclasses.asdict(result) == {
        "id": "a",
        "value": 1,
        "sequence_id": 7,
        "metadata": {"source": "x"},
        "error": None,
        "stage": None,
        "attempts": 1,
        "outcome": "succeeded",
        "reason": None,
    }
    assert repr(result) == (
        "PipelineResult(id='a', value=1, sequence_id=7, metadata={'source': 'x'}, "
        "error=None, stage=None, attempts=1, outcome='succeeded', reason=None)"
    )
    match result:
        case PipelineResult(id=identity, value=value, error=None):
            assert (identity, value) == ("a", 1)
        case _:
            pytest.fail("no match")


@both_kinds
@pytest.mark.parametrize(
    ("field", "value"),
    {
        "id": "b",
        "value": 2,
        "sequence_id": 8,
        "metadata": {},
        "error": ValueError(),
        "stage": "Other",
        "attempts": 2,
    }.items(),
)
def test_a_result_with_another_field_is_another(
    make: Callable[[], PipelineResult], field: str, value: Any
) -> None:
    assert make() != dataclasses.replace(make(), **{field: value})


def test_each_result_has_metadata_of_its_own() -> None:
    first, second = PipelineResult(1, 1, 1), PipelineResult(2, 2, 2)
    first.metadata["mine"] = True
    assert (first.metadata, second.metadata) == ({"mine": True}, {})


@both_kinds
def test_fields_can_be_set_and_other_attributes_cannot(make: Callable[[], PipelineResult]) -> None:
    result: Any = make()
    result.metadata = {"new": 1}
    assert result.metadata == {"new": 1}
    with pytest.raises(AttributeError):
        result.vlaue = 3
