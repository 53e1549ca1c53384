"""The hooks: what a plugin may implement, when each is called, and with what.

A plugin is a module, or an object, with functions of these names that carry `@antflow.hookimpl`.
Each takes any of the arguments, by their names, and is a plain function or a coroutine function,
but for those of the command line and `antflow_dashboard`, which are plain. They stand in the order
in which they are called.
"""

from __future__ import annotations

from typing import Any

from pluggy import HookimplMarker, HookspecMarker

from .events import StatusEvent, TaskEvent
from .types import DashboardProtocol, ErrorSummary

PROJECT = "antflow"
hookspec = HookspecMarker(PROJECT)
hookimpl = HookimplMarker(PROJECT)


@hookspec
def antflow_add_options(parser: Any) -> None:
    """Add options to the command `antflow run`.

    Args:
        parser: the plugin's own group of options, in which `antflow run --help` shows them; it has
            argparse's `add_argument`.
    """


@hookspec
def antflow_configure(options: Any) -> None:
    """Be told what `antflow run` was given, before the pipeline is loaded.

    Args:
        options: all options, the plugin's own among them. `options.dashboard` is the name of the
            display that the run is to have, None without; it may be set here.

    Raises:
        ValueError: the options make no sense; the command ends, with this text and exit code 2.
    """


@hookspec(firstresult=True)
def antflow_dashboard(name: str) -> DashboardProtocol | None:
    """Return a new dashboard of that name, or None if there is none here; the first one is used.

    A plugin says in its attribute `antflow_dashboards` which names it has, for errors to list them.
    A dashboard may have the method `on_exit`, see `DashboardProtocol`.

    Args:
        name: what `run`, `stream`, `quick` or the builder was asked for; "progress" where that was
            `progress=True`.
    """


@hookspec
def antflow_pipeline_start(pipeline: Any, total_items: int | None) -> object:
    """Be told that a run begins, before its first item is taken.

    Args:
        pipeline: the Pipeline.
        total_items: how many items there are; None where that is unknown.

    Returns:
        An object whose hooks take part in this run only, or None.
    """


@hookspec
def antflow_item_start(event: StatusEvent) -> None:
    """Be told that an item enters the run; exactly one `antflow_item_finish` follows.

    It is called in the context of who feeds the item; for what was fed before the run began, an
    observer of this run only is called in the context of who begins it. Who needs no more than this
    and the end pays for two events an item, whatever the number of stages.

    Args:
        event: which item, and the stage that it is queued for.
    """


@hookspec
def antflow_item_status(event: StatusEvent) -> None:
    """Be told that an item has changed its status.

    Args:
        event: which item, in which stage, and its status.
    """


@hookspec
def antflow_item_finish(event: StatusEvent) -> None:
    """Be told that an item has ended: the event is its last one.

    Args:
        event: which item, in which stage, and how it has ended.
    """


@hookspec
def antflow_task_start(event: TaskEvent) -> None:
    """Be told that an attempt begins; exactly one of the four ends follows.

    It is called in the same asyncio task and context as the user's function and as the end.

    Args:
        event: which item, task and attempt.
    """


@hookspec
def antflow_task_success(event: TaskEvent) -> None:
    """Be told that an attempt has returned.

    Args:
        event: which item, task and attempt, and how long it took.
    """


@hookspec
def antflow_task_retry(event: TaskEvent) -> None:
    """Be told that an attempt has failed and another follows.

    Args:
        event: which item, task and attempt, its error, and the delay until the next.
    """


@hookspec
def antflow_task_failure(event: TaskEvent) -> None:
    """Be told that an attempt has failed and none follows.

    Args:
        event: which item, task and attempt, and its error.
    """


@hookspec
def antflow_task_cancelled(event: TaskEvent) -> None:
    """Be told that an attempt was cancelled.

    Args:
        event: which item, task and attempt.
    """


@hookspec
def antflow_pipeline_finish(pipeline: Any, error_summary: ErrorSummary) -> None:
    """Be told that a run has ended, its last worker being gone: always, however it ended.

    Args:
        pipeline: the Pipeline.
        error_summary: what failed.
    """
