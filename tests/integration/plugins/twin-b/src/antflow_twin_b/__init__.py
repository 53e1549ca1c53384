"""Comes under a name that another distribution has, too."""

from antflow import hookimpl


class Twin:
    @hookimpl
    def antflow_pipeline_finish(self) -> None:
        pass
