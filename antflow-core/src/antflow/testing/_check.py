"""`check_plugin`: runs a plugin through every scenario and reports its problems."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

from antflow._errors.texts import shown
from antflow._plugins.validation import dashboards_of, hooks_of, name_of, validation_error
from antflow._runners import threads as runners
from antflow.exceptions import PluginError
from antflow.logs import UNPROCESSED_LOGGER

from ._fault_capture import capture_faults, error_text
from ._harness import Harness, changed_variables
from ._hook_spy import HookSpy
from ._leaks import JoinBudget, ProcessSnapshot, check_event_loop
from ._plugin_lookup import resolve_plugin
from ._problems import AddProblem, Findings, PluginProblemsError, PluginReport, ProblemKind
from ._references import TRACEBACK, path_from, referrers_of
from ._scenarios import FIRST_RUNS, AsyncScenario, Scenario, playable
from ._virtual_clock import Clock

MUTED_LOGGERS = (UNPROCESSED_LOGGER, runners.__name__, "antflow")
"""Loggers of unprocessed and failed items and of abandoned threads, which scenarios cause."""

MAX_SECONDS = 20.0
"""Simulated seconds that the scenarios may take for `antflow run`, in real time, to follow."""

KEEP_BY_RUN = "keep it in an object that antflow_pipeline_start returns, or by weak reference"
KEEP_TEXT = "keep the text of the error, since its traceback holds what was run"

REPORTED_WARNINGS = (ResourceWarning, RuntimeWarning)
"""What Python warns of when something is not closed or not awaited."""


def check_plugin(plugin: object, *, ignore: Iterable[ProblemKind] = ()) -> PluginReport:
    """Check a plugin against the rules, and run it through everything that can happen in a run.

    The scenarios are success, two runs at once, plain functions, retry, failure at the first and at
    the last attempt and as a run stops, skip, no items, cancellation, shutdown, a stream that is
    left early, an input that raises, a second run, and the plugin's displays. Where antflow-cli is
    installed, they are also the plugin's command-line options and, if all is well so far, `antflow
    run`. Ids are numbers and strings. Waits take no time, but for the command, which runs in the
    main thread only; it is left out if the plugin's waits add up to more than 20 seconds. The
    report names the scenarios that the plugin went through. A plugin may keep what it opens or
    starts in its first runs, such as a server; if more is left with each run, that is a leak.

    Args:
        plugin: an object, a class or a module, as for a Pipeline; or the name of an installed
            plugin, whose entry point is checked, too.
        ignore: kinds of problems to ignore: "rules" (the plugin cannot take part, or its name is
            wrong), "raised" (it raised an exception), "outcome" (it changed the results),
            "events" (it changed an event), "tasks", "timers", "threads" and "files" (it left one
            behind), "context" (it left a context variable changed), "references" (it keeps runs or
            values alive), "process" (it left the process changed), "warnings" (something was not
            closed or not awaited).

    Returns:
        A report on the plugin, without problems except the ignored ones.

    Raises:
        PluginProblemsError: there are problems; its text and its `report` name all of them.
        LookupError: no plugin of that name is installed.
        ValueError: `ignore` has an unknown kind.
        RuntimeError: an event loop is running already.
    """
    clock = Clock()
    clock.run(asyncio.sleep(0))  # raises where an event loop is running
    findings, spy = Findings(ignore), HookSpy()
    name, found = plugin if isinstance(plugin, str) else "", None
    try:
        found = resolve_plugin(plugin)
    except PluginError as error:
        findings.add("rules", str(error))
    else:
        name = name or name_of(found)
        for violation in rule_violations(found, plugin):
            findings.add("rules", violation)
    scenarios = playable() if found is not None and validation_error(found) is None else {}
    played: list[str] = []
    join_budget = JoinBudget()
    gc.freeze()  # otherwise each scenario's collections go through all that pytest holds
    try:
        has_ended = True
        for title, scenario in scenarios.items():
            # in real time a hook that waits for long would hold the check
            is_in_real_time, waits = not iscoroutinefunction(scenario), clock.time() > MAX_SECONDS
            if is_in_real_time and (findings.problems() or not has_ended or waits):
                continue
            played.append(title)
            # threads and files of the first runs are the plugin's to keep
            checked_budget = None if title in FIRST_RUNS else join_budget
            add_problem = partial(findings.add, scenario=title)
            has_ended &= check_scenario(found, scenario, clock, spy, add_problem, checked_budget)
    finally:
        collect_runs()
        gc.unfreeze()
    report = PluginReport(name, tuple(played), spy.calls, findings.problems())
    if report.problems:
        raise PluginProblemsError(report)
    return report


def rule_violations(plugin: object, given: object) -> Iterator[str]:
    """Return what is wrong with a plugin before it takes part in anything.

    Args:
        given: what was given to `check_plugin`, such as a name.
    """
    if (reason := validation_error(plugin)) is not None:
        yield f"It cannot take part: {reason}."
    elif not hooks_of(plugin):
        yield (
            "It implements no hook: call its functions as the hooks are called, such as "
            "antflow_task_start, and write @antflow.hookimpl above them."
        )
    own = _attribute(plugin, "antflow_name")
    if own is not None and (not isinstance(own, str) or not own):
        yield f"antflow_name is {shown(own)}; give a string, the name of the entry point."
    if isinstance(given, str) and name_of(plugin) != given:
        yield (
            f"The entry point is called {given!r} and the plugin {name_of(plugin)!r}, so that one "
            "that is given to a pipeline does not take the place of the one that is installed; "
            f"set antflow_name = {given!r}."
        )
    displays = _attribute(plugin, "antflow_dashboards")
    number = len(displays) if isinstance(displays, Collection) else -1
    if displays is not None and (isinstance(displays, str) or number != len(dashboards_of(plugin))):
        yield f"antflow_dashboards is {shown(displays)}; give a tuple of names."


def _attribute(plugin: object, name: str) -> object:
    """Return an attribute of a plugin; None where it has none, or where reading it raises."""
    try:
        return getattr(plugin, name, None)
    except Exception:  # the first violation has it already
        return None


def check_scenario(
    plugin: object,
    scenario: Scenario,
    clock: Clock,
    spy: HookSpy,
    add_problem: AddProblem,
    join_budget: JoinBudget | None,
) -> bool:
    """Run a plugin through one scenario, and report what it raises and leaves behind.

    Args:
        join_budget: time to wait for threads; None if threads and files may be left.

    Returns:
        Whether the scenario came to its end.
    """
    collect_runs()
    before = ProcessSnapshot()
    harness = Harness(plugin, dashboards_of(plugin), spy, add_problem)
    with capture_faults(MUTED_LOGGERS, names_items=False) as capture, check_warnings(add_problem):
        # leaks are searched only after a scenario that ended: one that broke off leaves anything
        is_ended = run_to_end(scenario, clock, harness, add_problem)
        if is_ended and join_budget is not None:
            before.check_threads(join_budget, add_problem)
        gc.collect()
    for text in capture.texts + (harness.loop_errors if is_ended else []):
        add_problem("raised", text)
    for text in spy.changes:
        add_problem("events", text)
    spy.changes.clear()
    if is_ended:
        check_references(harness, add_problem)
    if is_ended and join_budget is not None:
        before.check_files(add_problem)
    before.check_settings(add_problem)
    return is_ended


def collect_runs() -> None:
    """Collect what was left by scenarios that broke off: runs, which warn that they never ended."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Pipeline 'checked' was dropped", ResourceWarning)
        gc.collect()


def run_to_end(scenario: Scenario, clock: Clock, harness: Harness, add_problem: AddProblem) -> bool:
    """Run a scenario, report what it raises, and return whether it came to its end."""
    try:
        if iscoroutinefunction(scenario):
            clock.run(run_scenario(scenario, harness, add_problem))
        else:
            scenario(harness)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        add_problem("raised", f"The run ended by\n{error_text(error)}")
        return False
    return True


async def run_scenario(scenario: AsyncScenario, harness: Harness, add_problem: AddProblem) -> None:
    """Run a scenario, and report what it leaves on the event loop and in this context."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(record_loop_error, harness.loop_errors))
    context = copy_context()
    try:
        await scenario(harness)
    finally:
        harness.forget_contexts()
    for name in changed_variables(context, copy_context()):
        add_problem(
            "context", f"Context variable {name!r} of the caller was left changed; reset it."
        )
    await check_event_loop(add_problem)


def record_loop_error(
    errors: list[str], _: asyncio.AbstractEventLoop, context: Mapping[str, Any]
) -> None:
    """Keep the text of what is reported to an event loop, such as an unretrieved exception."""
    error = context.get("exception")
    details = error_text(error) if isinstance(error, BaseException) else ""
    errors.append(f"{context.get('message', 'Reported to the event loop')}\n{details}".rstrip())


@contextmanager
def check_warnings(add_problem: AddProblem) -> Iterator[None]:
    """Report warnings of what was not closed or not awaited; issue the others again."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for each in caught:
        if issubclass(each.category, REPORTED_WARNINGS):
            add_problem("warnings", f"{each.category.__name__}: {each.message}")
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def check_references(harness: Harness, add_problem: AddProblem) -> None:
    """Report a pipeline or a value that is still alive, and what keeps it."""
    for what, kept in harness.kept_objects()[:1]:
        path = path_from(harness.plugin, kept)
        if not path:
            gc.unfreeze()  # gc.get_referrers does not search frozen objects
            path = f"something outside of the plugin: {referrers_of(kept)}"
            gc.freeze()  # otherwise the collections of the next scenarios go through all of them
        remedy = KEEP_TEXT if TRACEBACK in path else KEEP_BY_RUN
        add_problem("references", f"After the run {what} is kept alive by {path}; {remedy}.")
