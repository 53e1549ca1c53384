"""Three plugins of one distribution: a class, an object and this module."""

from __future__ import annotations

from antflow import StatusEvent, hookimpl


class Shape:
    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        pass

    @hookimpl(optionalhook=True)
    def antflow_hook_of_the_future(self, what: object) -> None:
        pass


SHAPE = Shape()


@hookimpl
def antflow_pipeline_finish() -> None:
    pass
