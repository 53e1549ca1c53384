"""Does everything right: every hook, plain ones and coroutine functions, and notes the calls."""

from __future__ import annotations

import asyncio
from typing import Any

from antflow import DashboardProtocol, ErrorSummary, StatusEvent, TaskEvent, hookimpl

CALLS: list[tuple[str, Any]] = []


class Display:
    def on_start(self, pipeline: Any, total_items: int | None) -> None:
        pass

    def on_update(self, snapshot: Any) -> None:
        pass

    def on_finish(self, results: Any, summary: ErrorSummary) -> None:
        pass


class Good:
    antflow_name = "good"
    antflow_dashboards = ("good",)

    def __init__(self, label: str = "installed") -> None:
        self.label = label

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        parser.add_argument("--good-label", metavar="TEXT", help="what it is called")

    @hookimpl
    def antflow_configure(self, options: Any) -> None:
        self.label = options.good_label or self.label

    @hookimpl
    def antflow_dashboard(self, name: str) -> DashboardProtocol | None:
        CALLS.append(("dashboard", name))
        return Display() if name == "good" else None

    @hookimpl
    async def antflow_pipeline_start(self, pipeline: Any, total_items: int | None) -> None:
        await asyncio.sleep(0)
        CALLS.append(("pipeline_start", [self.label, total_items]))

    @hookimpl
    async def antflow_pipeline_finish(self, error_summary: ErrorSummary) -> None:
        await asyncio.sleep(0)
        CALLS.append(("pipeline_finish", error_summary.total_failed))

    @hookimpl
    async def antflow_task_start(self, event: TaskEvent) -> None:
        await asyncio.sleep(0)
        CALLS.append(("task_start", [event.item_id, event.attempt]))

    @hookimpl
    async def antflow_task_retry(self, event: TaskEvent) -> None:
        await asyncio.sleep(0)
        CALLS.append(("task_retry", [event.item_id, event.attempt]))


def noting(hook: str, attribute: str) -> Any:
    """Return a hook that notes the item of its event, and another attribute."""

    def note(self: Good, event: StatusEvent | TaskEvent) -> None:
        CALLS.append((hook, [event.item_id, getattr(event, attribute)]))

    return hookimpl(note)


for name in ("item_start", "item_finish", "item_status"):
    setattr(Good, f"antflow_{name}", noting(name, "status"))
for name in ("task_success", "task_failure", "task_cancelled"):
    setattr(Good, f"antflow_{name}", noting(name, "attempt"))
