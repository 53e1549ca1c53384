"""`antflow_pipeline_start` may return several observers; `run_id` names the run."""

from __future__ import annotations

from typing import Any

import pytest

from antflow import Pipeline, Stage, StatusEvent, hookimpl
from tests.helpers.virtual_time import simulate


async def same(value: Any) -> Any:
    return value


class Watching:
    """An observer that notes its calls."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls

    @hookimpl
    def antflow_item_start(self, event: StatusEvent) -> None:
        self.calls.append(f"{self.name} {event.item_id}")
        if self.name == "faulty":
            raise ValueError(self.name)


class Returning:
    """A plugin that returns the same answer for each run."""

    antflow_name = "returning"

    def __init__(self, answer: object) -> None:
        self.answer = answer

    @hookimpl
    def antflow_pipeline_start(self) -> object:
        return self.answer


def pipeline(answer: object) -> Pipeline:
    return Pipeline(
        [Stage(name="Work", workers=1, tasks=[same])], plugins=[Returning(answer)], autoload=False
    )


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_observers_of_a_list_are_called_the_last_one_first(kind: Any) -> None:
    calls: list[str] = []
    answer = kind([Watching("first", calls), None, Watching("last", calls)])
    simulate(lambda: pipeline(answer).run([7, 8]))
    assert calls == ["last 0", "first 0", "last 1", "first 1"]


@pytest.mark.parametrize("answer", [None, [], (), [None]])
def test_no_observer_takes_part_if_none_is_returned(answer: object) -> None:
    one = pipeline(answer)
    simulate(lambda: one.run([1]))
    assert one.plugin_names == ("returning",)


def test_one_that_cannot_take_part_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    one = pipeline([Watching("faulty", calls), 7, Watching("sound", calls)])
    simulate(lambda: one.run([1]))
    assert calls == ["sound 0", "faulty 0"]
    assert one.plugin_names == ("returning", "returning.run", "returning.run-2")
    assert one.plugin_faults == {"returning": 1, "returning.run": 1}
    assert "What it returned cannot take part" in caplog.text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Watching, "'Watching' is a class; return an object of it"),
        ([object()], "'object' has no hooks; return an observer, or a list of them"),
        ((each for each in [1]), "'generator' has no hooks; return an observer, or a list of them"),
    ],
)
def test_what_has_no_hooks_is_a_fault(
    answer: object, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = pipeline(answer)
    simulate(lambda: one.run([1]))
    assert one.plugin_faults == {"returning": 1}
    assert f"What it returned cannot take part: {reason}" in caplog.text


def test_a_run_has_the_id_of_its_events_and_statistics() -> None:
    seen: list[str] = []

    class Noting:
        @hookimpl
        def antflow_pipeline_start(self, pipeline: Pipeline) -> None:
            seen.append(pipeline.run_id)

        @hookimpl
        def antflow_item_start(self, event: StatusEvent) -> None:
            seen.append(event.run_id)

    stage = Stage(name="Work", workers=1, tasks=[same])
    one = Pipeline([stage], name="p", plugins=[Noting()], autoload=False)
    ids = []
    for _ in range(2):
        simulate(lambda: one.run([1]))
        ids.append(one.run_id)
        assert set(seen) == {one.run_id, one.get_stats().run_id}
        seen.clear()
    assert ids[0] != ids[1]
    assert all(run_id.startswith("p-") for run_id in ids)
