"""The hooks that a plugin may implement, with their arguments.

A plugin is a module, or an object, with functions of these names, marked with `@antflow.hookimpl`.
A function may leave out arguments; it gets those whose names it takes. It is a plain function or a
coroutine function, except that the hooks of the command line and `antflow_dashboard` must be plain.
The hooks are listed in the order in which they are called.
"""

from __future__ import annotations

from typing import Any

from pluggy import HookimplMarker, HookspecMarker

from .dashboards import DashboardProtocol
from .events import StatusEvent, TaskEvent
from .results import ErrorSummary

PROJECT = "antflow"


# A class of our own for its docstring: pluggy's names no project.
class _HookImplementation(HookimplMarker):  # type: ignore[misc]  # final only to type checkers
    """Marks a function or method as an implementation of the antflow hook of its name."""

    __slots__ = ()


hookspec = HookspecMarker(PROJECT)
hookimpl: HookimplMarker = _HookImplementation(PROJECT)


@hookspec
def antflow_add_options(parser: Any) -> None:
    """Add options to the command `antflow run`.

    Args:
        parser: the plugin's own group of options in `antflow run --help`; it has argparse's
            `add_argument`.
    """


@hookspec
def antflow_configure(options: Any) -> None:
    """Called with the options of `antflow run`, before the pipeline is loaded.

    Args:
        options: a copy of all options, including the plugin's own. `options.dashboard` is the name
            of the display for the run, or None for no display; it may be set here.

    Raises:
        ValueError: the options are invalid; the command ends with this text and exit code 2.
        PluginError: as ValueError; with any other error, the plugin is left out of the run.
    """


@hookspec(firstresult=True)
def antflow_dashboard(name: str) -> DashboardProtocol | None:
    """Return a new dashboard of that name, or None if this plugin does not have it.

    The first dashboard that a plugin returns is used. List the names in the plugin's attribute
    `antflow_dashboards`, so that error texts can show them. A dashboard may have the method
    `on_exit`, see `DashboardProtocol`.

    Args:
        name: the name given to `run`, `stream`, `quick` or the builder; "progress" for
            `progress=True`.
    """


@hookspec
def antflow_pipeline_start(pipeline: Any, total_items: int | None) -> object:
    """Called when a run begins, before its first item is taken.

    Args:
        pipeline: the Pipeline.
        total_items: how many items there are; None if that is unknown.

    Returns:
        An object whose hooks take part in this run only, a list of several, or None. Of several,
        the last one's hooks are called first, as with plugins.

    Raises:
        PluginError: the plugin refuses the run, which ends with this error before its first item.
    """


@hookspec
def antflow_item_start(event: StatusEvent) -> None:
    """Called when an item enters the run; exactly one `antflow_item_finish` follows.

    It is called in the context of the code that feeds the item. For an item that was fed before the
    run began, an observer returned by `antflow_pipeline_start` is called in the context of the code
    that begins the run. A plugin that needs only this hook and `antflow_item_finish` gets two
    events per item, whatever the number of stages.

    Args:
        event: the item, and the stage that it is queued for.
    """


@hookspec
def antflow_item_status(event: StatusEvent) -> None:
    """Called when an item has changed its status.

    Args:
        event: the item, its stage and its new status.
    """


@hookspec
def antflow_item_finish(event: StatusEvent) -> None:
    """Called once for each item, when it has ended or is left unprocessed.

    Args:
        event: the last event of the item: its stage, and the status with which it ended.
    """


@hookspec
def antflow_task_start(event: TaskEvent) -> None:
    """Called when an attempt begins; exactly one call of the four hooks of its end follows.

    It is called in the same asyncio task and context as the task's function and the hook of its
    end; a plain function runs in a thread, in a copy of that context.

    Args:
        event: the item, task and attempt.
    """


@hookspec
def antflow_task_success(event: TaskEvent) -> None:
    """Called when an attempt has succeeded.

    Args:
        event: the item, task and attempt, and how long it took.
    """


@hookspec
def antflow_task_retry(event: TaskEvent) -> None:
    """Called when an attempt has failed and another is due, maybe in another worker.

    Args:
        event: the item, task and attempt, the error, and the delay until the next attempt.
    """


@hookspec
def antflow_task_failure(event: TaskEvent) -> None:
    """Called when an attempt has failed and no other follows.

    Args:
        event: the item, task and attempt, and the error.
    """


@hookspec
def antflow_task_cancelled(event: TaskEvent) -> None:
    """Called when an attempt was cancelled, or failed and cannot be repeated as the run stops.

    An attempt is also cancelled if the run stops between its start and the call of its function.

    Args:
        event: the item, task and attempt, and the error; a CancelledError for a cancellation.
    """


@hookspec
def antflow_pipeline_finish(pipeline: Any, error_summary: ErrorSummary) -> None:
    """Called when a run has ended, however it ended, after its last worker has stopped.

    The call that ends the run waits for it: 5 seconds if the run was cancelled, otherwise as long
    as it takes.

    Args:
        pipeline: the Pipeline.
        error_summary: the failures of the run.
    """
