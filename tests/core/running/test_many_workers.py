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

MANY = 100_000_000
"""Workers of which each would take memory if they were not made when they are needed."""


@contextmanager
def little_memory() -> Iterator[None]:
    """See that a block takes less than 20 MB at its peak."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize("begin", ["run", "stream", "start", "progress", "pull"])
@simulated()
async def test_a_hundred_million_workers_take_no_memory_before_they_work(
    begin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fields: dict[str, Any] = {"pull": True} if begin == "pull" else {}
    with little_memory():
        stages = [stage(same, workers=MANY), stage(same_later, name="Last", workers=MANY, **fields)]
        pipeline = Pipeline(stages)
        assert pipeline.get_worker_states() == {}
        if begin == "stream":
            found = [result.value async for result in pipeline.stream(range(50))]
        elif begin == "start":
            await start_with(pipeline, range(50))
            assert pipeline.get_stats().stage_stats["Work"].workers["idle"] == MANY
            await pipeline.join()
            found = values(pipeline.results)
        else:
            found = values(await pipeline.run(range(50), progress=begin == "progress"))
        assert sorted(found) == list(range(50))
        states = pipeline.get_worker_states()
        assert list(states) == list(pipeline.get_worker_metrics())
        assert 2 <= len(states) <= 100
        assert {"Work-W0", "Last-W0"} <= set(states)
        done = [metrics.items_processed for metrics in pipeline.get_worker_metrics().values()]
        assert sum(done) == 100


@simulated()
async def test_the_names_of_a_hundred_million_workers_take_no_memory() -> None:
    pipeline = Pipeline([stage(same, workers=MANY), stage(same, name="Last", workers=2)])
    with little_memory():
        names = pipeline.get_worker_names()
        assert names["Last"] == ["Last-W0", "Last-W1"]
        many = names["Work"]
        assert len(many) == MANY
        assert (many[0], many[-1]) == ("Work-W0", f"Work-W{MANY - 1}")
        assert many[7:9] == ["Work-W7", "Work-W8"]
        assert "Work-W99" in many
        assert next(iter(many)) == "Work-W0"
        assert many != ["Work-W0"]
        with pytest.raises(IndexError):
            many[MANY]
        assert repr(many) == "<100000000 names, Work-W0 to Work-W99999999>"


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


@pytest.mark.parametrize("workers", [10**9 + 1, 10**12, 2**64, 10**5000], ids=range(4))
def test_more_workers_than_any_machine_runs_are_refused(workers: int) -> None:
    with pytest.raises(StageValidationError, match=r"'Work' .*1,000,000,000 or fewer"):
        Pipeline([stage(same, workers=workers)])
