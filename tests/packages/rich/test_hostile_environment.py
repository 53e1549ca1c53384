"""Displays on a terminal where IPython's builtin misbehaves, or no thread can be started."""

from __future__ import annotations

import asyncio
import gc
import io
import sys
import threading
from typing import Any

import pytest

from antflow import Pipeline, Stage
from antflow_rich import Rich
from antflow_rich.plugin import DASHBOARDS

STYLE = "\x1b[1m"  # which a display writes on a terminal only


async def same(value: int) -> int:
    return value


def show(name: str) -> Pipeline:
    pipeline = Pipeline([Stage("Work", 1, [same])], plugins=[Rich()], autoload=False)
    results = asyncio.run(pipeline.run(range(3), dashboard=name))
    assert [result.value for result in results] == [0, 1, 2]
    return pipeline


def raising(error: BaseException) -> Any:
    def get_ipython() -> None:
        raise error

    return get_ipython


@pytest.mark.parametrize("name", DASHBOARDS)
@pytest.mark.parametrize(
    "builtin",
    [raising(LookupError()), raising(SystemExit(3)), 5, "text", len, lambda: None, lambda: 5],
    ids=["raises", "exits", "a number", "a text", "len", "None", "another"],
)
def test_a_display_is_drawn_whatever_get_ipython_is(
    builtin: object,
    name: str,
    tty: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("builtins.get_ipython", builtin, raising=False)
    monkeypatch.setattr(sys, "stderr", tty.stream)
    show(name)
    assert caplog.text == ""
    assert STYLE in tty.written()


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_display_whose_thread_cannot_be_started_is_dropped_and_closed(
    name: str,
    tty: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    terminal: bool,
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "antflow-display":
            raise RuntimeError("can't start new thread")
        start(thread)

    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(sys, "stderr", tty.stream if terminal else io.StringIO())
    show(name)
    gc.collect()
    assert unraisable == []
    assert "can't start new thread" in caplog.text
    assert "on_start raised" in caplog.text
    monkeypatch.setattr(threading.Thread, "start", start)
    show(name)  # the terminal is free again
    assert (STYLE in tty.written()) is terminal
