"""Run these with the plugin installed: `pip install --editable '.[test]'`, then `pytest`."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from collections.abc import Callable

import pytest

from antflow import Stage
from antflow.testing import PluginRun, check_plugin
from antflow_slowest import Slowest

Run = Callable[..., PluginRun]


async def wait(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def test_the_slowest_attempt_of_each_stage_is_printed(
    antflow_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = [Stage("Fetch", 2, [wait]), Stage("Parse", 2, [wait])]
    antflow_run(stages, [1, 3600, 60], [Slowest(prints=True)])  # an hour takes no time
    assert capsys.readouterr().err == "Fetch: 3600.000 s\nParse: 3600.000 s\n"


@pytest.mark.parametrize("plugin", ["slowest", Slowest(prints=True)])
def test_the_kit_finds_no_problem(plugin: object) -> None:
    check_plugin(plugin)


async def fail(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise ValueError


def test_attempts_that_fail_count(antflow_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage("Fetch", 1, [fail], task_attempts=2, task_wait_seconds=30)
    run = antflow_run(stage, [5], [Slowest(prints=True)])
    assert run.seconds == 40
    assert run.recorder.hooks.count("task_retry") == 1
    assert capsys.readouterr().err == "Fetch: 5.000 s\n"


def test_it_prints_nothing_by_default(antflow_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    antflow_run(Stage("Fetch", 1, [wait]), [5], ["slowest"])  # the one that is installed
    assert capsys.readouterr() == ("", "")


def test_the_environment_turns_it_on(
    antflow_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTFLOW_SLOWEST", "1")
    antflow_run(Stage("Fetch", 1, [wait]), [5], ["slowest"])
    assert capsys.readouterr().err == "Fetch: 5.000 s\n"


def test_the_command_line_turns_it_on(antflow_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    plugin, parser = Slowest(), ArgumentParser()
    plugin.antflow_add_options(parser)
    plugin.antflow_configure(parser.parse_args(["--slowest"]))
    antflow_run(Stage("Fetch", 1, [wait]), [5], [plugin])
    assert capsys.readouterr().err == "Fetch: 5.000 s\n"
