"""`check_plugin` passes a correct plugin, and finds what breaks a rule, raises or never ends."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import warnings
from contextlib import suppress
from contextvars import ContextVar, Token
from pathlib import Path
from typing import Any

import pytest

from antflow import Pipeline, StatusEvent, StatusTracker, TaskEvent, hookimpl
from antflow.testing import PluginProblemsError, PluginReport, Recorder, check_plugin
from tests.helpers.hooks import ARGUMENTS
from tests.helpers.installation import Entry, install, raising
from tests.helpers.kit import only, plugin_of, problems, shorten_real_waits

VARIABLE: ContextVar[Any] = ContextVar("of_a_plugin", default=None)
SCENARIOS = (
    *("success", "two at once", "plain function", "retry", "failure", "failure as the run stops"),
    *("skip", "no items", "cancellation", "shutdown", "shutdown at once", "stream left"),
    *("broken input", "second run", "displays", "command line", "antflow run"),
)


# Correct plugins


class Everything:
    """Implements hooks of every kind, resets what it sets, and ends what it begins."""

    antflow_name: Any = "everything"
    antflow_dashboards: Any = ("lines",)

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
        self.thread = threading.Thread(target=threading.Event().wait, args=(0.01,))
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
    report = check_plugin(Everything())
    assert isinstance(report, PluginReport)
    assert (report.name, report.problems) == ("everything", ())
    assert report.scenarios == SCENARIOS
    assert set(report.calls) == {*dir(Everything), *dir(EverythingOfRun)} & set(ARGUMENTS)
    assert min(report.calls.values()) >= 1
    assert str(report).startswith("Plugin 'everything' is as it should be in success, two at onc")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "skipped"), [(0.1, set()), (3600, {"antflow run"})])
def test_the_command_which_takes_real_time_is_left_out_if_the_plugin_waits_for_long(
    seconds: float, skipped: set[str]
) -> None:
    class Waiting:
        @hookimpl
        async def antflow_item_finish(self) -> None:
            await asyncio.sleep(seconds)

    assert {*SCENARIOS} - {*check_plugin(Waiting).scenarios} == skipped


def test_every_hook_is_called_with_every_status() -> None:
    recorder = Recorder()
    check_plugin(recorder, ignore=["references"])
    assert set(recorder.hooks) == {hook.removeprefix("antflow_") for hook in ARGUMENTS}
    assert {call.event.status for call in recorder.of("item_status")} == {
        *("queued", "in_progress", "completed", "failed", "retrying", "skipped", "unprocessed")
    }


def test_a_module_can_be_checked() -> None:
    module = type(sys)("some_plugin")
    vars(module)["antflow_pipeline_finish"] = hookimpl(lambda: None)
    assert check_plugin(module).name == "some_plugin"


def test_the_tracker_passes() -> None:
    seen: list[str] = []
    check_plugin(StatusTracker(on_status_change=lambda event: seen.append(event.status)))
    assert "unprocessed" in seen


def test_context_variables_of_the_caller_are_no_problem() -> None:
    variable = VARIABLE.set("of the test")
    try:
        check_plugin(Everything)
        assert VARIABLE.get() == "of the test"
    finally:
        VARIABLE.reset(variable)


def test_other_warnings_are_issued_again() -> None:
    def warn(_: object) -> None:
        warnings.warn("use another plugin", DeprecationWarning, stacklevel=1)

    with pytest.warns(DeprecationWarning, match="use another plugin"):
        check_plugin(plugin_of(antflow_pipeline_finish=warn))


async def test_it_is_rejected_inside_an_event_loop() -> None:
    with pytest.raises(RuntimeError, match="make the test a plain function"):
        check_plugin(Everything)


# Plugins that cannot take part


class Unmarked:
    def antflow_task_start(self, event: TaskEvent) -> None: ...


class Hookless:
    def task_start(self, event: TaskEvent) -> None: ...


class Needy:
    def __init__(self, account: str) -> None: ...


class Numbered(Everything):
    antflow_name = 7


class OneDisplay(Everything):
    antflow_dashboards = "lines"


class Unlicensed:
    def __init__(self) -> None:
        sys.exit("no licence")


WrongArgument = plugin_of("WrongArgument", antflow_task_start=lambda self, task_event: None)
Misspelt = plugin_of(antflow_task_starts=lambda self, event: None)
Greedy = plugin_of("Greedy", antflow_dashboard=lambda self: Lines())


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        (Unmarked, "It cannot take part: antflow_task_start lacks the marker; write @antflow.hook"),
        (WrongArgument, "takes 'task_event', which it is not given; it may take 'event'"),
        (Misspelt, "'antflow_task_start' may be meant"),
        (Hookless, "It implements no hook"),
        (Needy, "Plugin 'Needy' cannot be made: TypeError"),
        (Unlicensed, "Plugin 'Unlicensed' cannot be made: SystemExit: no licence; give an object"),
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
    with pytest.raises(LookupError, match="No plugin 'absent' is installed"):
        check_plugin("absent")


@pytest.mark.parametrize(
    ("name", "text"),
    [("other", "called 'other' and the plugin 'everything'"), ("bad", "ImportError: no nowhere")],
)
def test_a_wrong_entry_point_is_found(installed: None, name: str, text: str) -> None:
    problem = only(name)
    assert problem.kind == "rules"
    assert text in problem.text


# Plugins that raise


def raise_error(_: object) -> Any:
    raise LookupError("no account") from KeyError("the cause")


async def raise_late(_: object) -> None:
    await asyncio.sleep(0)
    raise LookupError("no account")


@pytest.mark.parametrize(
    ("hook", "end"),
    [
        (raise_error, "LookupError: no account\nfrom:\nKeyError: 'the cause'"),
        (raise_late, "LookupError: no account"),
    ],
)
def test_a_hook_that_raises_is_found(hook: Any, end: str, caplog: pytest.LogCaptureFixture) -> None:
    problem = only(plugin_of(antflow_name="raising", antflow_task_retry=hook))
    assert (problem.kind, problem.scenarios) == ("raised", ("retry", "failure"))
    assert problem.text.startswith("antflow_task_retry of plugin 'raising' raised\n")
    assert problem.text.endswith(end)
    assert "is made to fail" not in problem.text
    assert "dispatcher.py" not in problem.text
    assert caplog.records == []


def test_a_plugin_that_needs_ids_to_be_numbers_is_found() -> None:
    problem = only(plugin_of(antflow_task_start=lambda self, event: event.item_id + 1))
    assert (problem.kind, problem.scenarios) == ("raised", ("retry",))
    assert "TypeError" in problem.text


class FailingLines(Lines):
    def on_update(self, *_: Any) -> None:
        raise_error(self)


@pytest.mark.parametrize("display", [FailingLines(), None])
def test_a_display_that_raises_is_found(display: Any) -> None:
    def show(self: object, name: str) -> Any:
        if name == "lines":
            return display or raise_error(self)
        return None

    found = problems(plugin_of(antflow_dashboards=("lines",), antflow_dashboard=show))
    assert {(problem.kind, problem.scenarios) for problem in found} == {("raised", ("displays",))}
    assert any("LookupError: no account" in problem.text for problem in found)


def adding(*arguments: str, **fields: Any) -> dict[str, Any]:
    """Return the hooks of a plugin that adds an option."""

    def add(_: object, parser: Any) -> None:
        parser.add_argument(*arguments, **fields)

    return {"antflow_add_options": add}


def configure(_: object, options: Any) -> None:
    raise ValueError(f"no runs, but {options.dashboard}")


@pytest.mark.parametrize(
    ("hooks", "text"),
    [
        (adding("--half", help="50%"), "write %% where it has a percent sign"),
        (adding("--input"), "conflicting option string: --input"),
        (adding("--target"), "argument --target: its value would take the place of that of TARGET"),
        (adding("account"), "argument account: arguments without a name are TARGET and items"),
        ({"antflow_add_options": raise_error}, "in raise_error\n    raise LookupError"),
        ({"antflow_configure": configure}, "ValueError: no runs, but None"),
    ],
)
def test_broken_options_are_found(hooks: dict[str, Any], text: str) -> None:
    problem = only(plugin_of(**hooks))
    assert (problem.kind, problem.scenarios) == ("raised", ("command line",))
    assert text in problem.text


def test_an_observer_that_a_hook_returns_is_checked() -> None:
    problem = only(plugin_of(antflow_pipeline_start=lambda self: WrongArgument()))
    assert problem.kind == "raised"
    assert "cannot take part" in problem.text
    assert "task_event" in problem.text


def test_a_plugin_that_ends_the_run_is_found() -> None:
    plugin = plugin_of(antflow_task_failure=lambda self: sys.exit("no licence"))
    found = [problem for problem in problems(plugin) if problem.kind == "raised"]
    assert "The run ended by" in found[0].text
    assert "SystemExit: no licence" in found[0].text


class Waiting:
    @hookimpl
    async def antflow_task_cancelled(self) -> None:
        await asyncio.Event().wait()

    antflow_pipeline_finish = antflow_task_cancelled


class WaitingStubbornly:
    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


@pytest.mark.parametrize("plugin", [Waiting, WaitingStubbornly])
def test_a_hook_that_never_ends_is_found(plugin: type, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_real_waits(monkeypatch, 0.1)
    problem = problems(plugin)[0]
    assert problem.kind == "raised"
    heading, error, *tasks = problem.text.splitlines()
    assert heading == "The run ended by"
    assert "StuckError: Nothing can happen any more" in error
    assert len(tasks) == 1
    assert f"{plugin.__name__}.antflow_" in tasks[0]
    assert " (test_check.py:" in tasks[0]


# The report


def change_event(_: object, event: TaskEvent) -> None:
    event.stage = "another"


def test_a_problem_is_reported_once_with_its_scenarios() -> None:
    (problem,) = problems(plugin_of(antflow_task_start=change_event))
    assert problem.scenarios[:4] == ("success", "two at once", "plain function", "retry")
    assert str(problem).startswith("events (in success, two at once, plain function and ")
    assert str(problem).splitlines()[1].startswith("    antflow_task_start of")


def test_all_problems_are_reported_unless_their_kinds_are_ignored() -> None:
    hooks: Any = {"antflow_task_start": change_event, "antflow_task_retry": raise_error}
    plugin = plugin_of(antflow_name="both", **hooks)
    with pytest.raises(PluginProblemsError) as caught:
        check_plugin(plugin)
    assert str(caught.value).startswith("Plugin 'both' has 2 problems.\n\n")
    assert str(caught.value) == str(caught.value.report)
    assert only(plugin, "events").kind == "raised"
    assert check_plugin(plugin, ignore=["events", "raised"]).problems == ()


def test_an_unknown_kind_is_rejected() -> None:
    ignore: Any = ["leaks"]
    with pytest.raises(ValueError, match="names 'leaks'; choose among rules, raised, outcome"):
        check_plugin(Everything, ignore=ignore)
