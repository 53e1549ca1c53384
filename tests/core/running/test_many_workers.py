"""Stages with very many workers: each is made when there is an item for it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow import Pipeline, StageValidationError
from tests.helpers.runs import same, same_later, stage, start_with, values, workers_of
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, simulate

MANY = 100_000
"""The most workers of a stage; each would take memory if it were made before it is needed."""


@contextmanager
def little_memory() -> Iterator[None]:
    """See that a block takes less than 20 MB at its peak, where workers take 500."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize("begin", ["run", "stream", "start", "pull"])
@simulated()
async def test_a_hundred_thousand_workers_take_no_memory_before_they_work(begin: str) -> None:
    fields: dict[str, Any] = {"pull": True} if begin == "pull" else {}
    stages = [stage(same, workers=MANY), stage(same_later, name="Last", workers=MANY, **fields)]
    with little_memory():
        pipeline = Pipeline(stages)
        if begin == "stream":
            found = [result.value async for result in pipeline.stream(range(50))]
        elif begin == "start":
            await start_with(pipeline, range(50))
            assert pipeline.get_stats().stage_stats["Work"].workers["idle"] == MANY
            await pipeline.join()
            found = values(pipeline.results)
        else:
            found = values(await pipeline.run(range(50)))
        assert sorted(found) == list(range(50))
    metrics = pipeline.get_worker_metrics()
    assert len(metrics) == 2 * MANY
    assert sum(each.items_processed for each in metrics.values()) == 100
    assert 2 <= sum(each.items_processed > 0 for each in metrics.values()) <= 100


@given(workers=st.integers(1, 30), items=st.integers(0, 40))
def test_names_states_and_metrics_list_every_worker_at_any_time(workers: int, items: int) -> None:
    async def main() -> None:
        gate = Gate()
        pipeline = Pipeline([stage(gate, workers=workers, queue_capacity=0)])
        names = [f"Work-W{number}" for number in range(workers)]

        def are_listed() -> bool:
            return (
                pipeline.get_worker_names() == {"Work": names}
                and list(pipeline.get_worker_states()) == names
                and list(pipeline.get_worker_metrics()) == names
            )

        assert are_listed()
        await start_with(pipeline, range(items))
        assert are_listed()
        states = [state.status for state in pipeline.get_worker_states().values()]
        assert states.count("busy") == min(workers, items)
        assert workers_of(pipeline)[:2] == [workers - min(workers, items), min(workers, items)]
        gate.open()
        await pipeline.join()
        assert are_listed()
        metrics = pipeline.get_worker_metrics().values()
        assert sum(each.items_processed for each in metrics) == items

    simulate(main)


@pytest.mark.parametrize("workers", [MANY + 1, 2**64, 10**5000], ids=range(3))
def test_more_workers_are_refused(workers: int) -> None:
    with pytest.raises(StageValidationError, match=r"'Work' .*100,000 or fewer"):
        Pipeline([stage(same, workers=workers)])
