"""Implements a hook that does not exist."""

from antflow import TaskEvent, hookimpl


class Plugin:
    @hookimpl
    def antflow_task_begin(self, event: TaskEvent) -> None:
        pass
