"""One stage in one run: its definition, made ready for workers."""

from __future__ import annotations

from dataclasses import dataclass

from ._accounting import StageAccount, TaskAccount
from ._channel import Channel
from ._results import Results
from .runners import Call, Threads, prepare
from .stage import Stage, task_name


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a stage: what it is called, how it is called, and what is counted of it."""

    name: str
    call: Call
    account: TaskAccount


class StageRun:
    """What the workers of one stage share during one run.

    Args:
        stage: the definition.
        results: where items end.
        outlet: where items go that the stage is done with; for the last stage, `results`.
    """

    def __init__(self, stage: Stage, results: Results, outlet: Channel) -> None:
        self.stage = stage
        self.name = stage.name
        self.inbox = Channel(stage.capacity)
        self.outlet = outlet
        self.results = results
        self.threads = Threads(stage.name)
        names = [task_name(task) for task in stage.tasks]
        self.account = StageAccount(names, stage.workers)
        self.steps = [
            Step(
                name,
                prepare(task, unpack_args=stage.unpack_args, threads=self.threads),
                self.account.tasks[name],
            )
            for name, task in zip(names, stage.tasks, strict=True)
        ]
        self.task_policy = stage.task_policy
        self.stage_policy = stage.stage_policy

    @property
    def is_plain(self) -> bool:
        """Whether an item that does not fail needs nothing but one call."""
        stage = self.stage
        return (
            len(self.steps) == 1
            and stage.skip_if is None
            and stage.on_success is None
            and self.stage_policy.attempts == 1
        )


def worker_name(stage: Stage, number: int) -> str:
    """Return what a stage's worker of that number, from 0, is called."""
    return f"{stage.name}-W{number}"
