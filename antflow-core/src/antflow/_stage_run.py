"""One stage in one run: its definition, made ready for workers."""

from __future__ import annotations

from asyncio import Semaphore
from dataclasses import dataclass

from ._accounting import StageAccount, TaskAccount
from ._channel import Channel
from ._limits import Limits
from ._notifier import Notifier
from ._results import Results
from .runners import Call, Threads, prepare
from .stage import Stage, task_name


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a stage: its name, how it is called, what is counted of it, and its limit."""

    name: str
    call: Call
    account: TaskAccount
    places: Semaphore | None


class StageRun:
    """A stage in one run, called a post: what its workers share.

    Args:
        stage: the definition.
        results: where items end.
        follower: the stage that items go on to; None for the last, from which they go to
            `results`.
        notifier: told what happens.
    """

    def __init__(
        self, stage: Stage, results: Results, follower: StageRun | None, notifier: Notifier
    ) -> None:
        self.stage = stage
        self.name = stage.name
        self.inbox = Channel(stage.capacity)
        self.follower = follower
        self.outlet: Channel = follower.inbox if follower is not None else results
        self.results = results
        self.notifier = notifier
        self.limits = Limits(stage)
        self.threads = Threads(stage.name)
        names = [task_name(task) for task in stage.tasks]
        self.account = StageAccount(names, stage.workers)
        self.steps = [
            Step(
                name,
                prepare(task, unpack_args=stage.unpack_args, threads=self.threads),
                self.account.tasks[name],
                self.limits.tasks.get(name),
            )
            for name, task in zip(names, stage.tasks, strict=True)
        ]
        self.task_policy = stage.task_policy
        self.stage_policy = stage.stage_policy

    @property
    def keeps_items(self) -> bool:
        """Whether its workers hold an item that is done until the next stage takes it."""
        return self.follower is not None and self.follower.stage.pull

    @property
    def is_simple(self) -> bool:
        """Whether an item that does not fail needs nothing but one call."""
        stage = self.stage
        return (
            len(self.steps) == 1
            and self.steps[0].places is None
            and stage.skip_if is None
            and stage.on_success is None
            and self.stage_policy.attempts == 1
        )


def worker_name(stage: Stage, number: int) -> str:
    """Return what a stage's worker of that number, from 0, is called."""
    return f"{stage.name}-W{number}"
