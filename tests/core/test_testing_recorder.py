"""`Recorder`: a plugin that remembers every call of a hook."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from antflow import Pipeline, Stage
from antflow._plugins.validation import ARGUMENTS, hooks_of
from antflow.testing import HookCall, Recorder


async def parse(text: str) -> int:
    return int(text)


def recorded(*items: Any, **fields: Any) -> Recorder:
    recorder = Recorder()
    stage = Stage("Parse", 1, [parse], task_attempts=2, task_wait_seconds=0, **fields)
    asyncio.run(Pipeline([stage], plugins=[recorder], autoload=False).run(items))
    return recorder


def test_every_hook_is_recorded() -> None:
    assert hooks_of(Recorder()) == tuple(ARGUMENTS)
    for hook, arguments in ARGUMENTS.items():
        assert tuple(inspect.signature(getattr(Recorder(), hook)).parameters) == arguments


@pytest.mark.parametrize("hook", ARGUMENTS)
def test_each_hook_is_recorded_under_its_name(hook: str) -> None:
    recorder = Recorder()
    arguments = {name: object() for name in ARGUMENTS[hook]}
    assert getattr(recorder, hook)(**arguments) is None
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


def test_of_takes_a_hook_with_or_without_its_prefix() -> None:
    recorder = recorded("1", "2")
    (first, second) = recorder.of("task_success")
    assert recorder.of("antflow_task_success") == [first, second]
    assert (first.item_id, second.event.item_id) == (0, 1)
    assert first.event.item.value == 1


def test_about_returns_the_calls_of_one_item() -> None:
    recorder = recorded("1", "two")
    assert {call.item_id for call in recorder.about(1)} == {1}
    assert len(recorder.about(1)) == 9
    assert recorder.about(None) == []


def test_a_call_about_no_item_has_no_event() -> None:
    (call,) = recorded().of("pipeline_start")
    assert call.item_id is None
    with pytest.raises(
        LookupError, match="antflow_pipeline_start has no event, only pipeline, tot"
    ):
        _ = call.event


def test_an_unknown_number_of_items_is_shown_as_none() -> None:
    call = HookCall("antflow_pipeline_start", {"pipeline": "p", "total_items": None})
    assert str(call) == "pipeline_start pipeline=p total_items=None"


def test_clear_forgets_all_calls() -> None:
    recorder = recorded("1")
    recorder.clear()
    assert (recorder.calls, recorder.hooks, recorder.lines) == ([], [], [])
