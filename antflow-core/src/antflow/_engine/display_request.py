"""The display that a call of `run` or `stream` asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from antflow.dashboards import DashboardProtocol
from antflow.retry import is_positive

from .display import chosen_dashboard


class DisplayRequest(NamedTuple):
    """A dashboard, and the seconds between its updates."""

    dashboard: DashboardProtocol
    interval: float


def requested_display(
    find: Callable[[str], DashboardProtocol],
    pipeline: str,
    *,
    progress: bool,
    dashboard: str | None,
    custom_dashboard: DashboardProtocol | None,
    interval: float,
) -> DisplayRequest | None:
    """Return the display for the arguments of `Pipeline.run`; None if they ask for none.

    Args:
        find: returns an installed dashboard by its name.
        pipeline: the pipeline's name.
        progress: as for `Pipeline.run`, like the next two.
        dashboard: name of an installed dashboard.
        custom_dashboard: a dashboard of the caller's own.
        interval: seconds between updates.

    Raises:
        ValueError: two displays are asked for, one is unknown or incomplete, or the interval is
            not a number of seconds above 0.
    """
    chosen = chosen_dashboard(
        find, progress=progress, dashboard=dashboard, custom_dashboard=custom_dashboard
    )
    # The interval is checked without a display too, so that a wrong one is found at once.
    if not is_positive(interval):
        raise ValueError(
            f"dashboard_update_interval of pipeline {pipeline!r} is {interval!r}; give "
            "seconds, above 0"
        )
    return None if chosen is None else DisplayRequest(chosen, interval)
