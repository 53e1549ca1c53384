"""The figures of one run, and sums of them."""

from __future__ import annotations

from typing import Any

from antflow import Pipeline
from antflow_otel import _instruments as of
from antflow_otel._metrics_names import MOST, Names
from antflow_otel._metrics_reading import Reading, Series, read
from tests.core.simulation import Gate, settle, simulate
from tests.otel.metering import stage

P: Series = (("antflow.pipeline.name", "p"),)


def read_now(pipeline: Pipeline, *, with_durations: bool = False) -> Reading:
    return read(pipeline, pipeline.get_stats(), Names(), with_durations=with_durations)


def reading_of(spec: of.InstrumentSpec, figure: float, *more: tuple[str, str]) -> Reading:
    reading = Reading()
    reading.put(spec, (*P, *more), figure)
    return reading


def test_items_in_a_stage_are_told_by_their_state() -> None:
    async def main() -> None:
        gate = Gate()
        pipeline = Pipeline([stage(task=gate, queue_capacity=9)], name="p", autoload=False)
        await pipeline.start()
        await pipeline.feed(range(5))
        await settle()
        figures = read_now(pipeline).figures
        assert {dict(s)["antflow.item.state"]: n for s, n in figures[of.STAGE_ITEMS].items()} == {
            "pending": 3,
            "in_progress": 2,
        }
        assert {dict(s)["antflow.worker.state"]: n for s, n in figures[of.WORKERS].items()} == {
            "idle": 0,
            "busy": 2,
            "waiting": 0,
            "blocked": 0,
        }
        assert list(figures[of.STAGE_CAPACITY].values()) == [9]
        assert list(figures[of.ITEMS].values()) == [5]
        gate.open()
        await pipeline.join()

    simulate(main)


def test_a_queue_without_bound_has_no_capacity() -> None:
    pipeline = Pipeline([stage(queue_capacity=0)], name="p", autoload=False)
    assert of.STAGE_CAPACITY not in read_now(pipeline).figures


def test_failures_are_told_by_the_class_of_the_error_and_the_zero_is_there_before() -> None:
    async def fail(value: int) -> None:
        raise (ValueError if value else KeyError)(value)

    pipeline = Pipeline([stage(task=fail)], name="p", autoload=False)

    def failures() -> dict[str, float]:
        rows = read_now(pipeline).figures[of.STAGE_LEFT]
        told = [(dict(series), figure) for series, figure in rows.items()]
        return {
            each.get("error.type", ""): figure
            for each, figure in told
            if each["antflow.outcome"] == "failed"
        }

    assert failures() == {"": 0}
    simulate(lambda: pipeline.run([0, 1, 2]))
    assert failures() == {"": 0, "KeyError": 1, "ValueError": 2}


def test_past_fifty_classes_errors_are_of_the_type_that_is_not_told() -> None:
    async def fail(value: int) -> Any:
        raise type(f"E{value}", (Exception,), {})

    pipeline = Pipeline([stage(task=fail)], name="p", autoload=False)
    simulate(lambda: pipeline.run(range(60)))
    rows = read_now(pipeline).figures[of.STAGE_LEFT]
    types = {dict(series).get("error.type") for series in rows}
    assert "_OTHER" in types
    assert "other" not in types


def test_stages_past_the_most_are_summed() -> None:
    stages = [stage(f"S{number}") for number in range(MOST + 2)]
    pipeline = Pipeline(stages, name="p", autoload=False)
    simulate(lambda: pipeline.run([1]))
    rows = read_now(pipeline).figures[of.STAGE_ENTERED]
    assert len(rows) == MOST + 1
    assert rows[(*P, ("antflow.stage.name", "other"))] == 2


def test_durations_are_read_where_they_are_wanted() -> None:
    pipeline = Pipeline([stage()], name="p", autoload=False)
    simulate(lambda: pipeline.run(range(7)))
    assert read_now(pipeline).durations == {}
    durations = read_now(pipeline, with_durations=True).durations
    assert set(durations) == {of.ITEM_WAIT_QUANTILE, of.ATTEMPT_DURATION_QUANTILE}
    for rows in durations.values():
        assert [sum(counts[:-1]) for counts in rows.values()] == [7]


def test_what_was_shown_does_not_fall_but_for_what_is_so_now() -> None:
    reading = reading_of(of.STAGE_ENTERED, 5)
    reading.rise(reading_of(of.STAGE_ENTERED, 3))
    assert reading.figures[of.STAGE_ENTERED] == {P: 5}
    reading.rise(reading_of(of.STAGE_ENTERED, 8, ("a", "b")))
    assert reading.figures[of.STAGE_ENTERED] == {P: 5, (*P, ("a", "b")): 8}
    reading = reading_of(of.ITEMS, 5)
    reading.rise(reading_of(of.ITEMS, 3))
    assert reading.figures[of.ITEMS] == {P: 3}


def test_of_a_run_that_is_over_nothing_is_so_now() -> None:
    sums = Reading()
    sums.add(reading_of(of.ITEMS, 5), is_over=True)
    sums.add(reading_of(of.ITEMS_FED, 5), is_over=True)
    assert sums.figures == {of.ITEMS: {P: 0}, of.ITEMS_FED: {P: 5}}
    sums.add(reading_of(of.ITEMS, 2), is_over=False)
    assert sums.figures[of.ITEMS] == {P: 2}


def test_durations_add_bucket_by_bucket_and_a_copy_is_apart() -> None:
    one = Reading()
    one.put_durations(of.ITEM_WAIT_QUANTILE, P, (1, 0, 2))
    copy = one.copy()
    copy.put_durations(of.ITEM_WAIT_QUANTILE, P, (0, 1, 1))
    assert copy.durations == {of.ITEM_WAIT_QUANTILE: {P: (1, 1, 3)}}
    assert one.durations == {of.ITEM_WAIT_QUANTILE: {P: (1, 0, 2)}}
