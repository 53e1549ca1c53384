"""Lacks the marker of its hook."""

from antflow import TaskEvent


class Plugin:
    def antflow_task_start(self, event: TaskEvent) -> None:
        pass
