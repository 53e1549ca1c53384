"""`check_plugin` finds the problems of a plugin, and passes a correct one."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, Token
from pathlib import Path
from typing import Any, ClassVar

import pytest

from antflow import Pipeline, StatusEvent, StatusTracker, TaskEvent, hookimpl
from antflow._plugins.validation import ARGUMENTS
from antflow.testing import (
    PluginProblemsError,
    PluginReport,
    Problem,
    ProblemKind,
    Recorder,
    _virtual_clock,
    check_plugin,
)
from antflow.testing._scenarios import SCENARIOS
from tests.helpers.installation import Entry, install, raising

VARIABLE: ContextVar[Any] = ContextVar("of_a_plugin", default=None)
KEPT: list[Any] = []
ENDED = threading.Event()


def problems(plugin: object, *ignore: ProblemKind) -> tuple[Problem, ...]:
    with pytest.raises(PluginProblemsError) as caught:
        check_plugin(plugin, ignore=ignore)
    assert caught.value.report.problems
    return caught.value.report.problems


def only(plugin: object, *ignore: ProblemKind) -> Problem:
    (problem,) = problems(plugin, *ignore)
    return problem


# Correct plugins


class Everything:
    """Implements hooks of every kind, resets what it sets, and ends what it begins."""

    antflow_name = "everything"
    antflow_dashboards = ("lines",)

    def __init__(self) -> None:
        self.runs = 0

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        parser.add_argument("--runs", type=int, default=0, help="how many there were (100 %% true)")

    @hookimpl
    def antflow_configure(self, options: Any) -> None:
        self.runs = options.runs

    @hookimpl
    def antflow_dashboard(self, name: str) -> Lines | None:
        return Lines() if name == "lines" else None

    @hookimpl
    async def antflow_pipeline_start(self, pipeline: Pipeline) -> EverythingOfRun:
        self.runs += 1
        return EverythingOfRun(pipeline)


class EverythingOfRun:
    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.tokens: dict[Any, Token[Any]] = {}
        self.flushing = asyncio.create_task(self.flush())
        self.thread = threading.Thread(target=ENDED.wait, args=(0.01,))
        self.thread.start()
        self.file = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    async def flush(self) -> None:
        while True:
            await asyncio.sleep(0.5)

    @hookimpl
    async def antflow_item_status(self, event: StatusEvent) -> None:
        await asyncio.sleep(0)
        self.file.write(f"{event}\n")

    @hookimpl
    async def antflow_task_start(self, event: TaskEvent) -> None:
        self.tokens[event.item_id] = VARIABLE.set(event.item_id)
        event.item.carrier["seen"] = "yes"

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        VARIABLE.reset(self.tokens.pop(event.item_id))

    antflow_task_retry = hookimpl(lambda self, event: self.antflow_task_success(event))
    antflow_task_failure = hookimpl(lambda self, event: self.antflow_task_success(event))
    antflow_task_cancelled = hookimpl(lambda self, event: self.antflow_task_success(event))

    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        self.flushing.cancel()
        self.file.close()
        await asyncio.to_thread(self.thread.join)


class Lines:
    """A display."""

    def on_start(self, *_: Any) -> None:
        sys.stderr.write("begun")

    def on_update(self, *_: Any) -> None: ...
    def on_finish(self, *_: Any) -> None: ...


def test_a_correct_plugin_passes(capfd: pytest.CaptureFixture[str]) -> None:
    plugin = Everything()
    report = check_plugin(plugin)
    assert isinstance(report, PluginReport)
    assert (report.name, report.problems) == ("everything", ())
    assert report.scenarios == tuple(SCENARIOS)
    assert set(report.calls) == {*dir(Everything), *dir(EverythingOfRun)} & set(ARGUMENTS)
    assert min(report.calls.values()) >= 1
    assert str(report).startswith("Plugin 'everything' is as it should be in success, two at onc")
    assert capfd.readouterr() == ("", "")


def test_every_hook_is_called_with_every_status() -> None:
    recorder = Recorder()
    check_plugin(recorder, ignore=["references"])
    assert set(recorder.hooks) == {hook.removeprefix("antflow_") for hook in ARGUMENTS}
    statuses = {call.event.status for call in recorder.of("item_status")}
    assert statuses == {
        *("queued", "in_progress", "completed", "failed", "retrying", "skipped", "unprocessed")
    }


def test_a_module_can_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("some_plugin")
    vars(module)["antflow_pipeline_finish"] = hookimpl(lambda: None)
    assert check_plugin(module).name == "some_plugin"


def test_the_tracker_passes() -> None:
    seen: list[str] = []
    check_plugin(StatusTracker(on_status_change=lambda event: seen.append(event.status)))
    assert "unprocessed" in seen


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert problems(Raising)
    assert caplog.records == []


# Plugins that cannot take part


class Unmarked:
    def antflow_task_start(self, event: TaskEvent) -> None: ...


class WrongArgument:
    @hookimpl
    def antflow_task_start(self, task_event: TaskEvent) -> None: ...


class NoSuchHook:
    @hookimpl
    def antflow_task_starts(self, event: TaskEvent) -> None: ...


class Hookless:
    def task_start(self, event: TaskEvent) -> None: ...


class Needy:
    def __init__(self, account: str) -> None: ...


class Numbered(Everything):
    antflow_name: Any = 7


class OneDisplay(Everything):
    antflow_dashboards: Any = "lines"


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        (Unmarked, "It cannot take part: antflow_task_start lacks the marker; write @antflow.hook"),
        (WrongArgument, "takes 'task_event', which it is not given; it may take 'event'"),
        (NoSuchHook, "'antflow_task_start' may be meant"),
        (Hookless, "It implements no hook"),
        (Needy, "Plugin 'Needy' cannot be made: TypeError"),
        (Numbered, "antflow_name is 7; give a string, the name of the entry point."),
        (OneDisplay, "antflow_dashboards is 'lines'; give a tuple of names."),
        (None, "'NoneType' has no hooks; give an object, a class or a module"),
    ],
)
def test_a_broken_rule_is_found(plugin: object, text: str) -> None:
    problem = only(plugin)
    assert (problem.kind, problem.scenarios) == ("rules", ())
    assert text in problem.text


def test_a_plugin_that_cannot_take_part_runs_no_scenario() -> None:
    with pytest.raises(PluginProblemsError) as caught:
        check_plugin(WrongArgument)
    assert caught.value.report.scenarios == ()


class Greedy:
    @hookimpl
    def antflow_dashboard(self) -> Lines:
        return Lines()


def test_a_display_for_every_name_is_found() -> None:
    problem = only(Greedy)
    assert (problem.kind, problem.scenarios) == ("rules", ("displays",))
    assert "return None" in problem.text


# Installed plugins


@pytest.fixture
def installed(nothing_installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry("everything", lambda: Everything), Entry("other", lambda: Everything)]
    install(monkeypatch, *entries, Entry("bad", raising(ImportError("no nowhere"))))


def test_an_installed_plugin_can_be_checked_by_its_name(installed: None) -> None:
    assert check_plugin("everything").name == "everything"


def test_an_entry_point_of_another_name_is_found(installed: None) -> None:
    problem = only("other")
    assert problem.kind == "rules"
    assert "called 'other' and the plugin 'everything'" in problem.text


def test_an_entry_point_that_cannot_be_loaded_is_found(installed: None) -> None:
    problem = only("bad")
    assert problem.kind == "rules"
    assert "ImportError: no nowhere" in problem.text


def test_a_plugin_that_is_not_installed_raises_lookup_error(installed: None) -> None:
    with pytest.raises(LookupError, match="No plugin 'absent' is installed"):
        check_plugin("absent")


# Plugins that raise


class Raising:
    antflow_name = "raising"

    @hookimpl
    def antflow_task_retry(self, event: TaskEvent) -> None:
        raise LookupError("no account")


class RaisingLate:
    antflow_name = "raising"

    @hookimpl
    async def antflow_task_retry(self, event: TaskEvent) -> None:
        await asyncio.sleep(0)
        raise LookupError("no account")


@pytest.mark.parametrize("plugin", [Raising, RaisingLate])
def test_a_hook_that_raises_is_found(plugin: type) -> None:
    problem = only(plugin)
    assert (problem.kind, problem.scenarios) == ("raised", ("retry", "failure"))
    assert problem.text.startswith("antflow_task_retry of plugin 'raising' raised\n")
    assert problem.text.endswith("LookupError: no account")
    assert "is made to fail" not in problem.text
    assert "dispatcher.py" not in problem.text


class RaisingFrom(Raising):
    @hookimpl
    def antflow_task_retry(self, event: TaskEvent) -> None:
        raise LookupError("no account") from KeyError("the cause")


class Counting:
    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        assert event.item_id + 1


def test_a_plugin_that_needs_ids_to_be_numbers_is_found() -> None:
    problem = only(Counting)
    assert (problem.kind, problem.scenarios) == ("raised", ("retry",))
    assert "TypeError" in problem.text


def test_the_cause_of_an_error_is_shown() -> None:
    assert "from:\nKeyError: 'the cause'" in only(RaisingFrom).text


class RaisingDisplay(Everything):
    @hookimpl
    def antflow_dashboard(self, name: str) -> Lines | None:
        return FailingLines() if name == "lines" else None


class FailingLines(Lines):
    def on_update(self, *_: Any) -> None:
        raise LookupError("no screen")


class NoDisplay(Everything):
    @hookimpl
    def antflow_dashboard(self, name: str) -> None:
        if name == "lines":
            raise LookupError("no screen")


@pytest.mark.parametrize("plugin", [RaisingDisplay, NoDisplay])
def test_a_display_that_raises_is_found(plugin: type) -> None:
    found = problems(plugin)
    assert {(problem.kind, problem.scenarios) for problem in found} == {("raised", ("displays",))}
    assert any("LookupError: no screen" in problem.text for problem in found)


class BadOption(Everything):
    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        super().antflow_add_options(parser)
        parser.add_argument("--half", help="50%")


class BadDefault(Everything):
    @hookimpl
    def antflow_configure(self, options: Any) -> None:
        raise ValueError(f"no runs, but {options.dashboard}")


class TakenOption(Everything):
    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        super().antflow_add_options(parser)
        parser.add_argument("--input", help="what `antflow run` has itself")


class TakenDestination(Everything):
    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        super().antflow_add_options(parser)
        parser.add_argument("--target", default="prod")


class NamelessOption(Everything):
    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        super().antflow_add_options(parser)
        parser.add_argument("account", nargs="?")


class RaisingOptions(Everything):
    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        raise LookupError("no account")


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        (BadOption, "write %% where it has a percent sign"),
        (BadDefault, "ValueError: no runs, but None"),
        (TakenOption, "conflicting option string: --input"),
        (TakenDestination, "argument --target: its value would take the place of that of TARGET"),
        (NamelessOption, "argument account: arguments without a name are TARGET and items"),
        (RaisingOptions, "in antflow_add_options\n    raise LookupError"),
    ],
)
def test_broken_options_are_found(plugin: type, text: str) -> None:
    problem = only(plugin)
    assert (problem.kind, problem.scenarios) == ("raised", ("command line",))
    assert text in problem.text


class Returning:
    @hookimpl
    def antflow_pipeline_start(self) -> object:
        return WrongArgument()


def test_an_observer_that_a_hook_returns_is_checked() -> None:
    problem = only(Returning)
    assert problem.kind == "raised"
    assert "cannot take part" in problem.text
    assert "task_event" in problem.text


class Exiting:
    @hookimpl
    def antflow_task_failure(self) -> None:
        sys.exit("no licence")


def test_a_plugin_that_ends_the_run_is_found() -> None:
    found = [problem for problem in problems(Exiting) if problem.kind == "raised"]
    assert "The run ended by" in found[0].text
    assert "SystemExit: no licence" in found[0].text


class Waiting:
    @hookimpl
    async def antflow_task_cancelled(self) -> None:
        await asyncio.Event().wait()

    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        await asyncio.Event().wait()


class WaitingStubbornly:
    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


@pytest.mark.parametrize("plugin", [Waiting, WaitingStubbornly])
def test_a_hook_that_never_ends_is_found(plugin: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_virtual_clock, "THREAD_WAIT_SECONDS", 0.1)
    problem = problems(plugin)[0]
    assert problem.kind == "raised"
    heading, error, *tasks = problem.text.splitlines()
    assert heading == "The run ended by"
    assert "StuckError: Nothing can happen any more" in error
    assert len(tasks) == 1
    assert f"{plugin.__name__}.antflow_pipeline_finish (test_testing_check.py:" in tasks[0]


# Leaks


class LeavingTask:
    @hookimpl
    def antflow_pipeline_start(self) -> None:
        asyncio.create_task(self.flush())  # noqa: RUF006

    async def flush(self) -> None:
        await asyncio.sleep(3600)


class LeavingTimer:
    @hookimpl
    def antflow_task_start(self) -> None:
        asyncio.get_running_loop().call_later(3600, self.flush)

    def flush(self) -> None: ...


class LeavingThread:
    def __init__(self) -> None:
        self.end = threading.Event()

    @hookimpl
    def antflow_pipeline_start(self) -> None:
        threading.Thread(target=self.work, name="flusher", daemon=True).start()

    def work(self) -> None:
        self.end.wait(30)


class LeavingFile:
    opened: ClassVar[list[int]] = []

    @hookimpl
    def antflow_pipeline_start(self) -> None:
        self.opened.append(os.open(os.devnull, os.O_RDONLY))


class LeavingConnection:
    opened: ClassVar[list[socket.socket]] = []

    @hookimpl
    def antflow_pipeline_start(self) -> None:
        self.opened.append(socket.socket())


class LeavingOpen:
    @hookimpl
    def antflow_pipeline_start(self) -> None:
        Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115


class LeavingCoroutine:
    @hookimpl
    def antflow_pipeline_finish(self) -> None:
        self.flush()  # type: ignore[unused-coroutine]

    async def flush(self) -> None: ...


class LeavingError:
    @hookimpl
    def antflow_pipeline_start(self) -> None:
        asyncio.create_task(self.flush())  # noqa: RUF006

    async def flush(self) -> None:
        raise LookupError("no account")


class LeavingVariable:
    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        VARIABLE.set(event.item_id)


class LeavingVariableOfCaller:
    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        if event.status == "queued":
            VARIABLE.set(event.item_id)


class KeepingRuns:
    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []

    @hookimpl
    def antflow_pipeline_start(self, pipeline: Pipeline) -> None:
        self.runs.append({"pipeline": pipeline})


class KeepingElsewhere:
    @hookimpl
    def antflow_pipeline_start(self, pipeline: Pipeline) -> None:
        KEPT.append(pipeline)


class KeepingValues:
    def __init__(self) -> None:
        self.values: list[Any] = []

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        self.values.append(event.item.value)


class KeepingErrors:
    last: BaseException | None = None

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        self.last = event.error


class ChangingEvents:
    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        event.stage = "another"


class ChangingMetadata:
    @hookimpl
    async def antflow_item_status(self, event: StatusEvent) -> None:
        await asyncio.sleep(0)
        event.metadata["seen"] = True


class ChangingValues:
    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        event.item.value.id = 100


class ChangingOutput:
    @hookimpl
    def antflow_pipeline_start(self) -> None:
        sys.stdout = Writer(sys.stdout)


class Writer:
    def __init__(self, output: Any) -> None:
        self.write, self.flush = output.write, output.flush


class ChangingSignals:
    @hookimpl
    def antflow_pipeline_start(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class ChangingLogging:
    @hookimpl
    def antflow_pipeline_start(self) -> None:
        logging.getLogger().addHandler(logging.NullHandler())


@pytest.fixture
def tidied() -> Iterator[None]:
    """Restore what these plugins change, and close what they keep."""
    stdout, handlers = sys.stdout, logging.getLogger().handlers[:]
    handler = signal.getsignal(signal.SIGTERM)
    yield
    sys.stdout = stdout
    signal.signal(signal.SIGTERM, handler)
    logging.getLogger().handlers[:] = handlers
    KEPT.clear()
    while LeavingConnection.opened:
        LeavingConnection.opened.pop().close()
    while LeavingFile.opened:
        os.close(LeavingFile.opened.pop())


@pytest.mark.parametrize(
    ("plugin", "kind", "text"),
    [
        (LeavingTask, "tasks", "Task LeavingTask.flush (test_testing_check.py:"),
        (LeavingTimer, "timers", "is to call LeavingTimer.flush (test_testing_check.py:"),
        (LeavingThread, "threads", "Thread 'flusher' in LeavingThread.work (test_testing_check.py"),
        (LeavingFile, "files", f"{os.devnull} was left open"),
        (LeavingConnection, "files", "socket:[*] was left open"),
        (LeavingOpen, "warnings", "ResourceWarning: unclosed file"),
        (LeavingCoroutine, "warnings", "'LeavingCoroutine.flush' was never awaited"),
        (LeavingError, "raised", "Task exception was never retrieved"),
        (LeavingVariable, "context", "'of_a_plugin' is not what it was before the item"),
        (LeavingVariableOfCaller, "context", "'of_a_plugin' of the caller was left changed"),
        (
            KeepingRuns,
            "references",
            "the pipeline is kept alive by KeepingRuns.runs[0]['pipeline'];",
        ),
        (KeepingElsewhere, "references", "something outside of the plugin: list"),
        (
            KeepingValues,
            "references",
            "a value of an item is kept alive by KeepingValues.values[0];",
        ),
        (KeepingErrors, "references", "is kept alive by KeepingErrors.last.__traceback__["),
        (KeepingErrors, "references", "; keep the text of the error"),
        (
            ChangingEvents,
            "events",
            "antflow_task_start of plugin 'ChangingEvents' changed event.st",
        ),
        (ChangingMetadata, "events", "changed event.metadata"),
        (ChangingValues, "outcome", "The value of item 1 is"),
        (ChangingOutput, "process", "sys.stdout was"),
        (ChangingSignals, "process", "The handler of SIGTERM was"),
        (ChangingLogging, "process", "The handlers of the root logger was"),
    ],
)
@pytest.mark.usefixtures("tidied")
def test_a_leak_is_found(plugin: Callable[[], Any], kind: str, text: str) -> None:
    made = plugin()
    found = problems(made)
    assert {problem.kind for problem in found} == {kind}
    assert any(text in problem.text for problem in found), [problem.text for problem in found]
    if isinstance(made, LeavingThread):
        made.end.set()


def test_a_thread_pool_kept_from_the_first_run_passes() -> None:
    class Writing:
        def __init__(self) -> None:
            self.pool = ThreadPoolExecutor(2)

        @hookimpl
        async def antflow_pipeline_finish(self) -> None:
            await asyncio.get_running_loop().run_in_executor(self.pool, len, "abc")

    plugin = Writing()
    check_plugin(plugin)
    plugin.pool.shutdown()


def test_a_thread_pool_for_each_run_is_found() -> None:
    pools: list[ThreadPoolExecutor] = []

    class Writing:
        @hookimpl
        async def antflow_pipeline_finish(self) -> None:
            pools.append(ThreadPoolExecutor(1))
            await asyncio.get_running_loop().run_in_executor(pools[-1], len, "abc")

    problem = only(Writing)
    assert problem.kind == "threads"
    assert problem.text.startswith("Thread 'ThreadPoolExecutor-*_*' in _worker (thread.py:")
    assert len(problem.scenarios) > 5
    for pool in pools:
        pool.shutdown()


def test_a_thread_kept_from_the_first_run_passes() -> None:
    class Serving:
        thread: threading.Thread | None = None

        def __init__(self) -> None:
            self.end = threading.Event()

        @hookimpl
        def antflow_pipeline_start(self) -> None:
            if self.thread is None:
                self.thread = threading.Thread(target=self.end.wait)
                self.thread.start()

    plugin = Serving()
    check_plugin(plugin)
    assert plugin.thread is not None
    plugin.end.set()
    plugin.thread.join()


def test_a_server_for_each_run_passes_without_a_wait() -> None:
    class Serving:
        @hookimpl
        def antflow_pipeline_start(self) -> object:
            return ServingOfRun()

    class ServingOfRun:
        server: asyncio.Server | None = None

        @hookimpl
        async def antflow_task_start(self) -> None:
            if self.server is None:
                self.server = await asyncio.start_server(print, "127.0.0.1", 0)

        @hookimpl
        async def antflow_pipeline_finish(self) -> None:
            if self.server is not None:
                self.server.close()
                await self.server.wait_closed()

    began = time.monotonic()
    report = check_plugin(Serving)
    assert report.calls["antflow_task_start"] > 10
    assert time.monotonic() - began < 10  # a minute where waits are of seconds


def test_context_variables_of_the_caller_are_no_problem() -> None:
    variable = VARIABLE.set("of the test")
    try:
        check_plugin(Everything)
        assert VARIABLE.get() == "of the test"
    finally:
        VARIABLE.reset(variable)


def test_other_warnings_are_issued_again() -> None:
    class Old:
        @hookimpl
        def antflow_pipeline_finish(self) -> None:
            warnings.warn("use another plugin", DeprecationWarning, stacklevel=1)

    with pytest.warns(DeprecationWarning, match="use another plugin"):
        check_plugin(Old)


# The report


def test_a_problem_is_reported_once_with_its_scenarios() -> None:
    (problem,) = problems(ChangingEvents)
    assert problem.scenarios[:4] == ("success", "two at once", "plain function", "retry")
    assert str(problem).startswith("events (in success, two at once, plain function and ")
    assert str(problem).splitlines()[1].startswith("    antflow_task_start of")


def test_all_problems_are_reported() -> None:
    class Both(LeavingTask, ChangingEvents):
        antflow_name = "both"

    with pytest.raises(PluginProblemsError) as caught:
        check_plugin(Both)
    assert str(caught.value).startswith("Plugin 'both' has 2 problems.\n\n")
    assert str(caught.value) == str(caught.value.report)


def test_kinds_of_problems_can_be_ignored() -> None:
    assert problems(KeepingRuns, "tasks")
    assert check_plugin(KeepingRuns(), ignore=["references"]).problems == ()


def test_an_unknown_kind_is_rejected() -> None:
    ignore: Any = ["leaks"]
    with pytest.raises(ValueError, match="names 'leaks'; choose among rules, raised, outcome"):
        check_plugin(Everything, ignore=ignore)


async def test_it_is_rejected_inside_an_event_loop() -> None:
    with pytest.raises(RuntimeError, match="make the test a plain function"):
        check_plugin(Everything)
