"""Wraps a hook."""

from collections.abc import Generator

from antflow import TaskEvent, hookimpl


class Plugin:
    @hookimpl(wrapper=True)
    def antflow_task_start(self, event: TaskEvent) -> Generator[None, None, None]:
        return (yield)
