"""Checking a plugin against the rules, and running it through everything that can happen."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

from antflow._engine import run as engine_run
from antflow._plugins.plugin_set import dashboards_of
from antflow._plugins.validation import hooks_of, name_of, validation_error
from antflow._runners import threads as runners
from antflow.exceptions import PluginError

from ._chosen import chosen
from ._clock import Clock
from ._fault_capture import error_text, faults_noted
from ._harness import THE_PIPELINE, Note, Stand, changed_variables
from ._hook_spy import Watch
from ._leaks import Patience, Process, note_left_on_loop
from ._problems import Findings, PluginProblemsError, PluginReport, ProblemKind
from ._references import TRACEBACK, path_from, referrers_of
from ._scenarios import FIRST_RUNS, SCENARIOS, Scenario

SILENT = (engine_run.__name__, runners.__name__, "antflow")
"""What logs that items are left or failed, which is meant here, and that threads are."""

KEEP_BY_RUN = "keep it in an object that antflow_pipeline_start returns, or by weak reference"
KEEP_TEXT = "keep the text of the error, since its traceback holds what was run"

COUNTED_WARNINGS = (ResourceWarning, RuntimeWarning)


def check_plugin(plugin: object, *, ignore: Iterable[ProblemKind] = ()) -> PluginReport:
    """Check a plugin against the rules, and run it through everything that can happen in a run.

    That is: success, two runs at once, plain functions, retry, failure, skip, no items,
    cancellation, shutdown, a stream that is left early, an input that raises, a second run, the
    plugin's displays, and its command-line options. Ids are numbers and strings. Waits take no
    time. A plugin may keep what it opens or starts in its first runs, such as a server; if more is
    left with each run, that is a leak.

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
    Clock().run(asyncio.sleep(0))
    findings, watch = Findings(ignore), Watch()
    name, found = plugin if isinstance(plugin, str) else "", None
    try:
        found = chosen(plugin)
    except PluginError as error:
        findings.add("rules", str(error))
    else:
        name = name or name_of(found)
        for broken in broken_rules(found, plugin):
            findings.add("rules", broken)
    tried = SCENARIOS if found is not None and validation_error(found) is None else {}
    patience = Patience()
    gc.freeze()  # so that collecting what a scenario leaves costs next to nothing
    try:
        for title, scenario in tried.items():
            note = partial(findings.add, scenario=title)
            try_out(found, scenario, watch, note, None if title in FIRST_RUNS else patience)
    finally:
        gc.unfreeze()
    report = PluginReport(name, tuple(tried), watch.calls, findings.problems())
    if report.problems:
        raise PluginProblemsError(report)
    return report


def broken_rules(plugin: object, given: object) -> Iterator[str]:
    """Return what is wrong with a plugin before it takes part in anything."""
    if (reason := validation_error(plugin)) is not None:
        yield f"It cannot take part: {reason}."
    elif not hooks_of(plugin):
        yield (
            "It implements no hook: call its functions as the hooks are called, such as "
            "antflow_task_start, and write @antflow.hookimpl above them."
        )
    own = getattr(plugin, "antflow_name", None)
    if own is not None and (not isinstance(own, str) or not own):
        yield f"antflow_name is {own!r}; give a string, the name of the entry point."
    if isinstance(given, str) and name_of(plugin) != given:
        yield (
            f"The entry point is called {given!r} and the plugin {name_of(plugin)!r}, so that one "
            "that is given to a pipeline does not take the place of the one that is installed; "
            f"set antflow_name = {given!r}."
        )
    displays = getattr(plugin, "antflow_dashboards", ())
    if isinstance(displays, str) or not all(isinstance(each, str) for each in displays or ()):
        yield f"antflow_dashboards is {displays!r}; give a tuple of names."


def try_out(
    plugin: object, scenario: Scenario, watch: Watch, note: Note, patience: Patience | None
) -> None:
    """Run a plugin through one scenario, and note what it raises and leaves behind.

    Args:
        plugin: the plugin.
        scenario: what it is run through.
        watch: watches it.
        note: takes problems.
        patience: with threads; None where threads and files that are left are no problem.
    """
    gc.collect()
    before = Process()
    stand = Stand(plugin, dashboards_of(plugin), watch, note)
    with faults_noted(SILENT, names_items=False) as noted, counted_warnings(note):
        is_whole = plays_to_end(scenario, stand, note)
        if is_whole and patience is not None:
            before.note_threads(patience, note)
        gc.collect()
    for text in noted.texts + (stand.reports if is_whole else []):
        note("raised", text)
    for text in watch.changes:
        note("events", text)
    watch.changes.clear()
    if is_whole:
        note_references(stand, note)
    if is_whole and patience is not None:
        before.note_files(note)
    before.note_settings(note)


def plays_to_end(scenario: Scenario, stand: Stand, note: Note) -> bool:
    """Run a scenario, and tell whether it came to its end; what it raised is noted."""
    try:
        Clock().run(play(scenario, stand, note))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        note("raised", f"The run ended by\n{error_text(error)}")
        return False
    return True


async def play(scenario: Scenario, stand: Stand, note: Note) -> None:
    """Run a scenario, and note what it leaves on the event loop and in this context."""
    asyncio.get_running_loop().set_exception_handler(partial(keep_report, stand.reports))
    context = copy_context()
    try:
        await scenario(stand)
    finally:
        stand.leave()
    for name in changed_variables(context, copy_context()):
        note("context", f"Context variable {name!r} of the caller was left changed; reset it.")
    await note_left_on_loop(note)


def keep_report(
    reports: list[str], _: asyncio.AbstractEventLoop, context: Mapping[str, Any]
) -> None:
    """Keep the text of what is reported to an event loop, such as an error that nobody saw."""
    error = context.get("exception")
    about = error_text(error) if isinstance(error, BaseException) else ""
    reports.append(f"{context.get('message', 'Reported to the event loop')}\n{about}".rstrip())


@contextmanager
def counted_warnings(note: Note) -> Iterator[None]:
    """Note warnings of what was not closed or not awaited; let the others go where they go."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for each in caught:
        if issubclass(each.category, COUNTED_WARNINGS):
            note("warnings", f"{each.category.__name__}: {each.message}")
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def note_references(stand: Stand, note: Note) -> None:
    """Note what is still there of a scenario, and on what way the plugin keeps it."""
    left = stand.left()
    of_pipelines = [each for each in left if each[0] == THE_PIPELINE]
    for what, thing in (of_pipelines or left)[:1]:
        way = path_from(stand.plugin, thing)
        if not way:
            gc.unfreeze()  # or what is frozen would not be searched
            way = f"something outside of the plugin: {referrers_of(thing)}"
        remedy = KEEP_TEXT if TRACEBACK in way else KEEP_BY_RUN
        note("references", f"After the run {what} is kept alive by {way}; {remedy}.")
