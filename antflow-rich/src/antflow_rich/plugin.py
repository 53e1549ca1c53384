"""The plugin: which displays there are."""

from __future__ import annotations

from antflow import DashboardProtocol, hookimpl


class Rich:
    """Draws runs in the terminal."""

    antflow_dashboards: tuple[str, ...] = ()

    @hookimpl
    def antflow_dashboard(self, name: str) -> DashboardProtocol | None:
        """Return a new display, or None if there is none of that name here."""
        return None
