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
    def antflow_item_start(self, event: StatusEvent) -> None:
        CALLS.append(("item_start", [event.item_id, event.status]))

    @hookimpl
    def antflow_item_finish(self, event: StatusEvent) -> None:
        CALLS.append(("item_finish", [event.item_id, event.status]))

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        CALLS.append(("item_status", [event.item_id, event.status]))

    @hookimpl
    async def antflow_task_start(self, event: TaskEvent) -> None:
        await asyncio.sleep(0)
        CALLS.append(("task_start", [event.item_id, event.attempt]))

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        CALLS.append(("task_success", [event.item_id, event.attempt]))

    @hookimpl
    async def antflow_task_retry(self, event: TaskEvent) -> None:
        await asyncio.sleep(0)
        CALLS.append(("task_retry", [event.item_id, event.attempt]))

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        CALLS.append(("task_failure", [event.item_id, event.attempt]))

    @hookimpl
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        CALLS.append(("task_cancelled", [event.item_id, event.attempt]))
