"""Takes an argument that its hook does not have."""

from antflow import TaskEvent, hookimpl


class Plugin:
    @hookimpl
    def antflow_task_start(self, task_event: TaskEvent) -> None:
        pass
