"""`Recorder`: a plugin that remembers every call of a hook."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from antflow import Stage
from antflow.testing import HookCall, Recorder, run_pipeline
from tests.helpers.hooks import ARGUMENTS


async def parse(text: str) -> int:
    return int(text)


def recorded(*items: Any) -> Recorder:
    stage = Stage("Parse", 1, [parse], task_attempts=2, task_wait_seconds=0)
    return run_pipeline(stage, items).recorder


@pytest.mark.parametrize("hook", ARGUMENTS)
def test_each_hook_is_recorded_under_its_name(hook: str) -> None:
    recorder = Recorder()
    function = getattr(recorder, hook)
    assert tuple(inspect.signature(function).parameters) == ARGUMENTS[hook]
    arguments = {name: object() for name in ARGUMENTS[hook]}
    assert function(**arguments) is None
    assert recorder.calls == [HookCall(hook, arguments)]


def test_the_calls_of_a_run_are_recorded_in_order() -> None:
    recorder = recorded("1", "two")
    assert recorder.lines == [
        "pipeline_start pipeline=pipeline total_items=2",
        "item_start item=0 stage=Parse status=queued",
        "item_status item=0 stage=Parse status=queued",
        "item_start item=1 stage=Parse status=queued",
        "item_status item=1 stage=Parse status=queued",
        "item_status item=0 stage=Parse status=in_progress",
        "task_start item=0 stage=Parse task=parse attempt=1",
        "task_success item=0 stage=Parse task=parse attempt=1",
        "item_status item=0 stage=Parse status=completed",
        "item_finish item=0 stage=Parse status=completed",
        "item_status item=1 stage=Parse status=in_progress",
        "task_start item=1 stage=Parse task=parse attempt=1",
        "task_retry item=1 stage=Parse task=parse attempt=1 error=ValueError",
        "task_start item=1 stage=Parse task=parse attempt=2",
        "task_failure item=1 stage=Parse task=parse attempt=2 error=ValueError",
        "item_status item=1 stage=Parse status=failed",
        "item_finish item=1 stage=Parse status=failed",
        "pipeline_finish pipeline=pipeline failed=1",
    ]
    assert [line.split()[0] for line in recorder.lines] == recorder.hooks
    recorder.clear()
    assert (recorder.calls, recorder.hooks, recorder.lines) == ([], [], [])


def test_calls_are_found_by_their_hook_or_their_item() -> None:
    recorder = recorded("1", "two", "2")
    first, second = recorder.of("task_success")
    assert recorder.of("antflow_task_success") == [first, second]
    assert (first.item_id, second.event.item_id, first.event.item.value) == (0, 2, 1)
    assert {call.item_id for call in recorder.about(1)} == {1}
    assert len(recorder.about(1)) == 9
    assert recorder.about(None) == []


def test_a_call_about_no_item_has_no_event() -> None:
    (call,) = recorded().of("pipeline_start")
    assert call.item_id is None
    with pytest.raises(LookupError, match="antflow_pipeline_start has no event, only pipeline, to"):
        _ = call.event


def test_an_unknown_number_of_items_is_shown_as_none() -> None:
    call = HookCall("antflow_pipeline_start", {"pipeline": "p", "total_items": None})
    assert str(call) == "pipeline_start pipeline=p total_items=None"
