"""Asynchronous hooks and callbacks that never return do not hold a run that is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any

import pytest

from antflow import Pipeline, Stage, hookimpl
from tests.helpers.hooks import (
    ARGUMENTS,
    FINISH,
    LONG,
    OBSERVED,
    check_conservation,
    hooked,
    pipeline,
)
from tests.helpers.runs import now, same, values
from tests.helpers.simulated import simulated
from tests.helpers.task_factories import each_task_factory
from tests.helpers.virtual_time import begun, others, settle

LIMIT = 5
"""Seconds that cancelled code waits for a hook."""

Hang = Callable[[], Awaitable[Any]]


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def wait_though_cancelled_once() -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


def hanging(name: str, *hooks: str, hang: Hang = wait_for_ever) -> Any:
    """Return a plugin whose hooks never return."""

    async def with_event(event: Any) -> None:
        await hang()

    async def without() -> None:
        await hang()

    plugin = hooked()
    plugin.antflow_name = name
    for hook in hooks:
        setattr(plugin, hook, hookimpl(with_event if ARGUMENTS[hook] == ("event",) else without))
    return plugin


async def work(value: Any) -> Any:
    """Fail at the item "bad", and hold the item "long" for ever."""
    if value == "long":
        await asyncio.Event().wait()
    if value == "bad":
        raise ValueError(value)
    return value


@pytest.mark.parametrize("items", [["good", "long"], ["bad", "long"], ["long"]], ids=str)
@pytest.mark.parametrize("hooks", [*([hook] for hook in OBSERVED), OBSERVED], ids=str)
@simulated()
async def test_a_cancelled_run_waits_a_limited_time_for_each_hook(
    hooks: list[str], items: list[str]
) -> None:
    """The hooks of two plugins hang, and a cancellation ends no more than one of them."""
    plugins = [hanging("one", *hooks), hanging("two", *hooks)]
    one = Pipeline([Stage("Work", 1, [work], task_attempts=2)], plugins=plugins)
    running = await begun(one.run(items))
    await asyncio.sleep(1.5)  # until "bad" is tried again
    running.cancel()
    await asyncio.wait([running], timeout=LONG)
    assert running.cancelled()
    assert now() < 2 + 2 * LIMIT * len(hooks)
    assert not others()
    check_conservation(one)


@simulated()
async def test_a_cancelled_run_does_not_wait_for_hooks_at_items_that_are_left() -> None:
    """Or it would wait for each of a thousand."""
    plugins = [hanging(name, "antflow_item_finish") for name in ("one", "two")]
    one = Pipeline([Stage("Work", 1, [work])], plugins=plugins)
    running = await begun(one.run(["long"] * 1000))
    running.cancel()
    await asyncio.wait([running])
    assert now() < 1
    assert len(one.unprocessed) > 1


@simulated()
async def test_the_log_names_the_plugin_and_the_hook(caplog: pytest.LogCaptureFixture) -> None:
    hooks = ["antflow_task_cancelled", FINISH]
    one = Pipeline([Stage("Work", 1, [work])], plugins=[hanging("slow", *hooks)])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await one.run(["long"])
    assert now() < 2 + 2 * LIMIT
    assert one.plugin_faults == {"slow": 2}
    for hook, record in zip(hooks, caplog.records, strict=False):
        assert f"{hook} of plugin 'slow' raised" in record.getMessage()
        assert record.exc_info is not None
        assert "did not return within 5 seconds" in str(record.exc_info[1])


@simulated()
async def test_a_feed_that_is_cancelled_waits_a_limited_time_for_hooks() -> None:
    plugins = [hanging(name, "antflow_item_start") for name in ("one", "two")]
    one = Pipeline([Stage("Work", 1, [same])], plugins=plugins)
    await one.start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await one.feed([1])
    assert now() < 2 + LIMIT
    await one.shutdown(drain=True)
    assert values(one.results) == [1]


@simulated()
async def test_a_callback_after_a_cancellation_holds_no_run() -> None:
    async def wait(*_: Any) -> None:
        await wait_for_ever()

    stage = Stage("Work", 1, [same], on_success=wait)
    one = Pipeline([stage], plugins=[hanging("slow", "antflow_task_success")])
    running = await begun(one.run([1]))
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert now() < 1 + LIMIT
    assert values(one.results) == [1]


# The end of a run


@pytest.mark.parametrize("hang", [wait_for_ever, wait_though_cancelled_once])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
@simulated()
async def test_a_cancelled_run_ends_though_a_finish_hook_ignores_that(
    hang: Hang, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The hook is called after the cancellation, or cancelled while it runs."""
    plugins = [hanging("one", FINISH, hang=hang), hanging("two", FINISH, hang=hang)]
    one = Pipeline([Stage("Work", 1, [work])], plugins=plugins)
    running = await begun(one.run(["long" if when == "before" else "good"]))
    await asyncio.sleep(LONG)  # as long as the run is not cancelled, a hook may take its time
    assert not running.done()
    running.cancel()
    await asyncio.wait([running], timeout=4 * LIMIT + 1)
    assert running.cancelled()
    named = [each.getMessage().partition(" raised")[0] for each in caplog.records]
    two, first = (f"{FINISH} of plugin '{name}'" for name in ("two", "one"))
    is_prompt = when == "meanwhile" and hang is wait_for_ever  # ended by the cancellation itself
    assert [each.partition(": ")[2] for each in named if FINISH in each] == (
        [first] if is_prompt else [two, first]
    )
    assert len(others()) == (2 if hang is wait_though_cancelled_once else 0)
    for task in others():
        task.cancel()
    await settle()


@each_task_factory
@simulated()
async def test_the_hooks_of_a_run_share_a_context(factory: Any) -> None:
    variable: ContextVar[int] = ContextVar("variable")
    tokens: list[Token[int]] = []

    class Setting:
        @hookimpl
        async def antflow_pipeline_start(self) -> None:
            await asyncio.sleep(1)
            tokens.append(variable.set(1))

        @hookimpl
        async def antflow_pipeline_finish(self) -> None:
            await asyncio.sleep(1)
            variable.reset(tokens.pop())

    asyncio.get_running_loop().set_task_factory(factory)
    one = pipeline(Setting())
    await one.run([1])
    assert not one.plugin_faults
    assert not tokens


# Task groups, which leave a cancellation behind before Python 3.13


async def fail_in_a_group() -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise ValueError

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())


@pytest.mark.parametrize("hook", [hook for hook in OBSERVED if hook != "antflow_task_cancelled"])
@simulated()
async def test_a_task_group_that_fails_in_a_hook_is_no_cancellation(hook: str) -> None:
    plugin = hanging("grouping", hook, hang=fail_in_a_group)
    stage = Stage("Work", 1, [work], task_attempts=2)
    one = Pipeline([stage, Stage("Next", 1, [same])], plugins=[plugin])
    await one.start()
    await one.feed(["good", "bad"])
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    await one.join()
    assert values(one.results) == ["good"]
    assert values(one.failures) == ["bad"]
    assert one.plugin_faults["grouping"] >= 1


@simulated()
async def test_a_cancellation_beside_a_failing_task_group_stands() -> None:
    plugin = hanging("grouping", "antflow_task_start", hang=fail_in_a_group)
    one = Pipeline([Stage("Work", 1, [same])], plugins=[plugin])
    running = await begun(one.run([1, 2]))
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    check_conservation(one)
