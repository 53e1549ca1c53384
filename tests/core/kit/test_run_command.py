"""`run_command`: one `antflow run` with the plugins that a test names."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Any

import pytest

from antflow import PluginError, Stage, hookimpl
from antflow.logs import UNPROCESSED_LOGGER
from antflow.testing import PluginProblemsError, check_plugin, run_command


async def refuse_odd(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd")
    return value


STAGE = Stage("Work", 1, [refuse_odd], task_attempts=1)


class Greeting:
    antflow_name = "greeting"
    greeting = ""

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        parser.add_argument("--greeting", default="")

    @hookimpl
    def antflow_configure(self, options: Any) -> None:
        self.greeting = options.greeting

    @hookimpl
    def antflow_pipeline_start(self, pipeline: Any) -> None:
        if self.greeting:
            sys.stdout.write(f"{self.greeting} {pipeline.name} {pipeline.plugin_names}\n")


def test_a_plugin_gets_its_options_and_takes_part() -> None:
    run = run_command(STAGE, [1, 2], [Greeting()], ["--greeting", "hello", "--ordered"])
    assert run.printed == "hello pipeline ('greeting',)\n"
    assert run.results == [{"id": 1, "value": 2}]
    assert [(each["id"], each["error"]) for each in run.failures] == [(0, "1 is odd")]
    assert run.exit_code == 1
    assert "1 of 2 items failed" in run.messages


def test_several_stages_and_no_plugins() -> None:
    run = run_command([STAGE, Stage("Next", 2, [refuse_odd])], iter([2, 4]), options=["--values"])
    assert (run.exit_code, run.results, run.failures) == (0, [2, 4], [])
    assert (run.printed, run.messages) == ("", "")


def test_wrong_usage_has_an_exit_code() -> None:
    run = run_command(STAGE, [2], [Greeting()], ["--greating", "hello"])
    assert (run.exit_code, run.results) == (2, [])
    assert "did you mean --greeting?" in run.messages


def test_the_process_is_left_as_it_was() -> None:
    root = logging.getLogger()

    def state() -> tuple[Any, ...]:
        streams = sys.stdin, sys.stdout, sys.stderr
        handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        engine = logging.getLogger(UNPROCESSED_LOGGER).level
        logs = [*root.handlers], root.level, engine
        return dict(os.environ), [*sys.path], set(sys.modules), streams, handlers, logs

    run_command(STAGE, [2], [Greeting()])  # imports what it needs
    before = state()
    run_command(STAGE, [1, 2], [Greeting()], ["--disable-plugins", "x", "--log-level", "debug"])
    assert state() == before


def test_what_cannot_take_part_is_an_error() -> None:
    class Wrong:
        @hookimpl
        def antflow_task_starts(self) -> None: ...

    with pytest.raises(PluginError, match="antflow_task_start"):
        run_command(STAGE, [2], [Wrong()])
    with pytest.raises(LookupError, match="No plugin 'nowhere' is installed"):
        run_command(STAGE, [2], ["nowhere"])


async def test_it_needs_an_event_loop_of_its_own() -> None:
    with pytest.raises(RuntimeError):
        run_command(STAGE, [2])


# check_plugin runs a plugin through the command, too


def test_the_check_runs_a_plugin_through_the_command() -> None:
    class Exiting(Greeting):
        @hookimpl
        def antflow_pipeline_start(self, pipeline: Any) -> None:
            if sys.modules.get("antflow_testing_program"):
                raise PluginError("it is refused")

    assert "antflow run" in check_plugin(Greeting()).scenarios
    with pytest.raises(
        PluginProblemsError, match="plugin 'greeting' refuses the run: it is refused"
    ):
        check_plugin(Exiting())


def test_a_plugin_that_hangs_does_not_hang_the_check() -> None:
    class Hanging:
        @hookimpl
        async def antflow_task_success(self, event: Any) -> None:
            if event.task_name != "return_plainly":  # or a thread would be waited for
                await asyncio.Event().wait()

    with pytest.raises(PluginProblemsError, match="every task waits"):
        check_plugin(Hanging())
    report = check_plugin(Hanging(), ignore=["raised", "outcome", "tasks", "references"])
    assert report.problems == ()


@pytest.mark.parametrize(
    ("hook", "is_met"),
    [
        ("task_failure", lambda event: event.attempt == 1),
        ("task_failure", lambda event: event.attempt == 2),
        ("task_failure", lambda event: event.task_name == "fail_plainly"),
        ("task_cancelled", lambda event: isinstance(event.error, ValueError)),
        ("task_cancelled", lambda event: isinstance(event.error, asyncio.CancelledError)),
        ("item_finish", lambda event: event.metadata.get("error_type") == "ValueError"),
        ("item_status", lambda event: event.metadata.get("retry") is True),
    ],
)
def test_the_check_has_an_attempt_that_ends_so(hook: str, is_met: Any) -> None:
    class Choosy:
        pass

    def choose(event: Any) -> None:
        if is_met(event):
            raise LookupError("met")

    plugin = Choosy()
    setattr(plugin, f"antflow_{hook}", hookimpl(choose))
    with pytest.raises(PluginProblemsError, match="LookupError: met"):
        check_plugin(plugin)
