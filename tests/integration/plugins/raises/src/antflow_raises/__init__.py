"""Plugins that raise in every hook: an error or CancelledError, at once or after a wait.

And one that raises in a single hook.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from antflow import hookimpl


class Raises:
    error: Callable[[str], BaseException] = RuntimeError

    @hookimpl
    def antflow_add_options(self) -> None:
        raise self.error("add_options")

    @hookimpl
    def antflow_configure(self) -> None:
        raise self.error("configure")

    @hookimpl
    def antflow_dashboard(self) -> None:
        raise self.error("dashboard")

    @hookimpl
    def antflow_pipeline_start(self) -> None:
        raise self.error("pipeline_start")

    @hookimpl
    def antflow_item_start(self) -> None:
        raise self.error("item_start")

    @hookimpl
    def antflow_item_finish(self) -> None:
        raise self.error("item_finish")

    @hookimpl
    def antflow_item_status(self) -> None:
        raise self.error("item_status")

    @hookimpl
    def antflow_task_start(self) -> None:
        raise self.error("task_start")

    @hookimpl
    def antflow_task_success(self) -> None:
        raise self.error("task_success")

    @hookimpl
    def antflow_task_retry(self) -> None:
        raise self.error("task_retry")

    @hookimpl
    def antflow_task_failure(self) -> None:
        raise self.error("task_failure")

    @hookimpl
    def antflow_task_cancelled(self) -> None:
        raise self.error("task_cancelled")

    @hookimpl
    def antflow_pipeline_finish(self) -> None:
        raise self.error("pipeline_finish")


class RaisesAsync:
    error: Callable[[str], BaseException] = RuntimeError

    @hookimpl
    async def antflow_pipeline_start(self) -> None:
        await self._raise("pipeline_start")

    @hookimpl
    async def antflow_item_start(self) -> None:
        await self._raise("item_start")

    @hookimpl
    async def antflow_item_finish(self) -> None:
        await self._raise("item_finish")

    @hookimpl
    async def antflow_item_status(self) -> None:
        await self._raise("item_status")

    @hookimpl
    async def antflow_task_start(self) -> None:
        await self._raise("task_start")

    @hookimpl
    async def antflow_task_success(self) -> None:
        await self._raise("task_success")

    @hookimpl
    async def antflow_task_retry(self) -> None:
        await self._raise("task_retry")

    @hookimpl
    async def antflow_task_failure(self) -> None:
        await self._raise("task_failure")

    @hookimpl
    async def antflow_task_cancelled(self) -> None:
        await self._raise("task_cancelled")

    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        await self._raise("pipeline_finish")

    async def _raise(self, hook: str) -> None:
        await asyncio.sleep(0)
        raise self.error(hook)


class Cancels(Raises):
    error = asyncio.CancelledError


class CancelsAsync(RaisesAsync):
    error = asyncio.CancelledError


class RaisesLate:
    @hookimpl
    def antflow_task_success(self) -> None:
        raise RuntimeError("task_success")
