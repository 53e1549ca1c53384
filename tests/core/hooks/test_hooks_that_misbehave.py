"""What a plugin does to what it receives, or raises at the wrong moment, changes no run."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import gc
import json
import pickle
from collections.abc import Callable
from operator import methodcaller
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antflow import ErrorSummary, Pipeline, PluginError, Stage, StatusEvent, TaskEvent, hookimpl
from antflow.hookspecs import antflow_pipeline_start
from antflow.testing import Clock, run_pipeline
from tests.helpers.displays import Recorder as RecordingDisplay

ITEM_HOOKS = ("item_start", "item_status", "item_finish")
TASK_HOOKS = ("task_start", "task_success", "task_retry", "task_failure", "task_cancelled")


async def refuse_odd(value: int) -> int:
    await asyncio.sleep(1)
    if value % 2:
        raise ValueError(f"{value} is odd")
    return -value


async def return_it(value: int) -> int:
    return value


class Hooked:
    """A plugin that does the same with the event of each of some hooks."""

    def __init__(self, act: Callable[[Any], object], *hooks: str, later: bool = False) -> None:
        def act_now(event: Any) -> None:
            act(event)

        async def act_later(event: Any) -> None:
            await asyncio.sleep(0.5)
            act(event)

        for hook in hooks:
            setattr(self, f"antflow_{hook}", hookimpl(act_later if later else act_now))


def described(*plugins: object, stages: int = 2, **options: Any) -> list[Any]:
    """Run five items, and return what became of them."""
    made = [Stage(f"Stage{n}", 2, [refuse_odd], **options) for n in range(stages)]
    run = run_pipeline(made, range(5), plugins, may_raise=True)
    summary = run.pipeline.get_error_summary()
    assert run.pipeline.get_stats().items_outstanding == 0
    return [
        [(each.id, each.value) for each in run.results],
        [(each.id, str(each.error), each.stage) for each in run.failures],
        (
            summary.total_failed,
            summary.errors_by_type,
            [each.error for each in summary.failed_items],
        ),
    ]


# Events

FIELDS = sorted(
    {each.name for kind in (StatusEvent, TaskEvent) for each in dataclasses.fields(kind)}
)

CHANGES: dict[str, Callable[[Any], object]] = {
    **{f"set {name}": methodcaller("__setattr__", name, None) for name in FIELDS},
    **{f"delete {name}": methodcaller("__delattr__", name) for name in FIELDS},
    "set another": lambda event: setattr(event, "another", 1),
    "delete the item": lambda event: delattr(event, "_item"),
    "clear": lambda event: event.metadata.clear(),
    "pop": lambda event: event.metadata.pop("error"),
    "popitem": lambda event: event.metadata.popitem(),
    "setdefault": lambda event: event.metadata.setdefault("seen", True),
    "update": lambda event: event.metadata.update(error="", error_type=""),
    "set an item": lambda event: event.metadata.__setitem__("error", None),
    "delete an item": lambda event: event.metadata.__delitem__("error"),
    "merge": lambda event: event.metadata.__ior__({"error": None}),
    "item metadata": lambda event: event.item.metadata.clear(),
    "item": lambda event: setattr(event.item, "value", 0),
}


@pytest.mark.parametrize("options", [{"task_attempts": 2}, {"retry": "per_stage"}], ids=str)
@pytest.mark.parametrize("change", CHANGES)
def test_an_event_cannot_be_changed(change: str, options: dict[str, Any]) -> None:
    plugin = Hooked(CHANGES[change], *ITEM_HOOKS, *TASK_HOOKS)
    assert described(plugin, **options) == described(**options)


def test_another_observer_gets_the_event_as_it_was() -> None:
    def change_all(event: Any) -> None:
        for change in CHANGES.values():
            with pytest.raises((AttributeError, TypeError)):
                change(event)

    stage = Stage("Work", 1, [refuse_odd], task_attempts=2)
    plain = run_pipeline(stage, range(4))
    changed = run_pipeline(stage, range(4), [Hooked(change_all, "task_failure", "task_start")])
    assert changed.recorder.lines == plain.recorder.lines


def events() -> list[Any]:
    stage = Stage("Work", 1, [refuse_odd], task_attempts=2)
    calls = run_pipeline(stage, range(2)).recorder.calls
    return [call.event for call in calls if "event" in call.arguments]


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        lambda event: pickle.loads(pickle.dumps(event)),
        dataclasses.replace,
    ],
)
def test_a_copy_is_equal_and_can_be_changed(copied: Callable[[Any], Any]) -> None:
    for event in events():
        if isinstance(event, TaskEvent) and event.error is not None:
            continue  # two exceptions are never equal
        made = copied(event)
        assert made == event
        assert type(made) in {StatusEvent, TaskEvent}
        made.stage = "another"
        assert made != event
        assert event.stage == "Work"


def test_the_error_that_a_hook_gets_for_a_change_says_what_to_do() -> None:
    event = next(each for each in events() if isinstance(each, StatusEvent))
    with pytest.raises(AttributeError, match=r"event\.stage is read-only.*copy\.copy\(event\)"):
        event.stage = "another"
    with pytest.raises(TypeError, match=r"event\.metadata is read-only.*dict\(event\.metadata\)"):
        event.metadata["seen"] = True


def test_metadata_is_a_dict_for_readers() -> None:
    failed = next(each for each in events() if getattr(each, "status", "") == "failed")
    assert json.loads(json.dumps(failed.metadata)) == {
        "error": "1 is odd",
        "error_type": "ValueError",
    }
    assert dataclasses.asdict(failed)["metadata"] == failed.metadata
    assert {**failed.metadata, "more": 1}["more"] == 1


def test_the_result_of_an_event_is_what_its_attempt_returned() -> None:
    async def lists(value: int) -> list[int]:
        if value == 2:
            raise ValueError
        return [value]

    stage = Stage("Work", 1, [lists, refuse_odd], task_attempts=1)
    run = run_pipeline(stage, [0, 2], [])
    found = [
        (call.event.event_type, call.event.result)
        for call in run.recorder.calls
        if isinstance(call.arguments.get("event"), TaskEvent)
    ]
    assert found[:4] == [("start", None), ("complete", [0]), ("start", None), ("fail", None)]
    success = run.recorder.of("task_success")[0].event
    assert success == dataclasses.replace(success, result="another")
    assert "result" not in repr(success)


# The error summary


class Emptying:
    """A plugin that empties the error summary, and keeps what it found."""

    def __init__(self, name: str) -> None:
        self.antflow_name = name
        self.found: ErrorSummary | None = None

    @hookimpl
    def antflow_pipeline_finish(self, error_summary: ErrorSummary) -> None:
        self.found = copy.deepcopy(error_summary)
        error_summary.errors_by_type.clear()
        error_summary.errors_by_stage.clear()
        error_summary.failed_items.clear()


def test_each_plugin_and_the_display_have_an_error_summary_of_their_own() -> None:
    plugins = [Emptying(name) for name in ("one", "two", "three")]
    display = RecordingDisplay()
    stage = Stage("Work", 1, [refuse_odd], task_attempts=1)
    pipeline = Pipeline([stage], plugins=plugins, autoload=False)
    Clock().run(pipeline.run(range(4), custom_dashboard=display))
    whole = pipeline.get_error_summary()
    assert whole.errors_by_type == {"ValueError": 2}
    assert [plugin.found for plugin in plugins] == [whole] * 3


# GeneratorExit


def leave(_: object) -> None:
    raise GeneratorExit


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("options", [{"task_attempts": 2}, {"retry": "per_stage"}], ids=str)
@pytest.mark.parametrize("hook", [*ITEM_HOOKS, *TASK_HOOKS])
def test_a_hook_that_raises_generator_exit_is_a_fault_like_others(
    hook: str, options: dict[str, Any], *, later: bool
) -> None:
    assert described(Hooked(leave, hook, later=later), **options) == described(**options)


@settings(max_examples=25, deadline=None)
@given(
    hooks=st.sets(st.sampled_from([*ITEM_HOOKS, *TASK_HOOKS]), min_size=1),
    later=st.booleans(),
    tasks=st.integers(1, 3),
    workers=st.integers(1, 4),
    drain=st.booleans(),
)
def test_no_item_is_outstanding_after_a_shutdown_among_such_hooks(
    hooks: set[str], tasks: int, workers: int, *, later: bool, drain: bool
) -> None:
    stage = Stage("Work", workers, [refuse_odd] * tasks, task_attempts=2, task_wait_seconds=1)
    plugin = Hooked(leave, *hooks, later=later)
    pipeline = Pipeline([stage, Stage("Next", 1, [refuse_odd])], plugins=[plugin], autoload=False)

    async def main() -> None:
        await pipeline.start()
        await pipeline.feed(range(6))
        await asyncio.sleep(1.2)
        await pipeline.shutdown(drain=drain, timeout=2)

    Clock().run(main())
    stats = pipeline.get_stats()
    ended = stats.items_processed + stats.items_failed + stats.items_unprocessed
    assert (stats.items_outstanding, ended) == (0, stats.items_fed)


def close_a_loop_that_waits_in_a_hook() -> None:
    class Waiting:
        @hookimpl
        async def antflow_task_success(self) -> None:
            await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    pipeline = Pipeline([Stage("Work", 1, [return_it])], plugins=[Waiting()], autoload=False)

    async def begin() -> None:
        await pipeline.start()
        await pipeline.feed([1])
        for _ in range(10):
            await asyncio.sleep(0)

    loop.run_until_complete(begin())
    left: set[Any] = asyncio.all_tasks(loop)
    loop.close()
    for task in left:
        task.get_coro().close()
        task._log_destroy_pending = False  # it cannot end: its loop is closed
    stats = pipeline.get_stats()
    assert (stats.items_outstanding, stats.items_unprocessed) == (0, 1)


def test_a_hook_that_is_closed_with_its_event_loop_gives_the_item_back() -> None:
    close_a_loop_that_waits_in_a_hook()
    with pytest.warns(ResourceWarning, match="event loop closed"):
        gc.collect()


# A plugin that refuses a run


class Refusing:
    antflow_name = "refusing"

    def __init__(self, error: Exception, *, later: bool = False) -> None:
        def refuse(pipeline: Any) -> None:
            raise error

        async def refuse_later(pipeline: Any) -> None:
            await asyncio.sleep(1)
            raise error

        self.antflow_pipeline_start = hookimpl(refuse_later if later else refuse)


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("strict", ["", "1"])
def test_a_plugin_error_at_the_start_ends_the_run_before_its_first_item(
    monkeypatch: pytest.MonkeyPatch, strict: str, *, later: bool
) -> None:
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", strict)
    error, taken = PluginError("disk.jsonl cannot be written"), list[int]()

    async def take(value: int) -> None:
        taken.append(value)

    def items() -> Any:
        for value in range(3):
            taken.append(value)
            yield value

    display = RecordingDisplay()
    pipeline = Pipeline(
        [Stage("Work", 1, [take])], plugins=[Refusing(error, later=later)], autoload=False
    )
    with pytest.raises(PluginError, match=r"^disk\.jsonl cannot be written$") as caught:
        Clock().run(pipeline.run(items(), custom_dashboard=display))
    assert (caught.value.plugin, caught.value.hook) == ("refusing", antflow_pipeline_start.__name__)
    assert (taken, pipeline.plugin_faults) == ([], {})
    assert display.calls == []


def test_items_that_were_fed_before_a_refused_start_are_unprocessed() -> None:
    pipeline = Pipeline(
        [Stage("Work", 1, [refuse_odd])], plugins=[Refusing(PluginError("no"))], autoload=False
    )

    async def main() -> None:
        await pipeline.feed([1, 2])
        with pytest.raises(PluginError, match=r"^no$"):
            await pipeline.start()

    Clock().run(main())
    assert [item.id for item in pipeline.unprocessed] == [0, 1]


def test_other_plugins_get_start_and_finish_of_a_refused_run() -> None:
    seen = []

    class Counting:
        def __init__(self, name: str) -> None:
            self.antflow_name = name

        @hookimpl
        def antflow_pipeline_start(self) -> None:
            seen.append(f"start {self.antflow_name}")

        @hookimpl
        def antflow_pipeline_finish(self) -> None:
            seen.append(f"finish {self.antflow_name}")

    plugins = [Counting("one"), Refusing(PluginError("no")), Counting("two")]
    with pytest.raises(PluginError):
        run_pipeline(Stage("Work", 1, [refuse_odd]), [1], plugins)
    assert seen == ["start two", "start one", "finish two", "finish one"]


def test_any_other_error_at_the_start_is_a_fault() -> None:
    run = run_pipeline(
        Stage("Work", 1, [refuse_odd]), [2], [Refusing(OSError("full"))], may_raise=True
    )
    assert len(run.results) == len(run.faults) == 1
