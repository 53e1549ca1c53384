"""The workers of one run: started when there is work for them."""

from __future__ import annotations

from asyncio import Task, get_running_loop
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from functools import partial

from .failures import Failures
from .loops import work
from .run_state import RunState
from .stage_runtime import StageRuntime, worker_name
from .worker import Worker


class WorkerPool:
    """Starts the workers of one run, each in an asyncio task and a copy of the run's context.

    Args:
        run: the state of the run.
        stages: of the run.
        track: creates the task of each worker, with the function that it is called with.
    """

    def __init__(
        self,
        run: RunState,
        stages: Sequence[StageRuntime],
        track: Callable[[Callable[[], Task[None]]], Task[None]],
    ) -> None:
        self.by_stage: list[list[Worker]] = [[] for _ in stages]  # those that were started
        self._run = run
        self._stages = stages
        self._track = track

    def open(self, context: Context, failures: Failures) -> None:
        """Start workers from now on, as items arrive.

        Args:
            context: copied for each worker.
            failures: of the run.
        """
        if self._run.is_closed:
            return
        for stage, workers in zip(self._stages, self.by_stage, strict=True):
            start = partial(self._start_worker, stage, workers, context, failures)
            stage.input.receivers.add_lazy(stage.stage.workers, start)

    def _start_worker(
        self, stage: StageRuntime, workers: list[Worker], context: Context, failures: Failures
    ) -> None:
        worker = Worker(worker_name(stage.stage, len(workers)), stage, self._run, failures)
        workers.append(worker)
        loop = work(worker)
        try:
            create_task = partial(get_running_loop().create_task, loop, name=worker.name)
            self._track(partial(context.copy().run, create_task))
        except Exception as error:
            loop.close()
            self._run.abort(error)

    def begun(self) -> Iterator[Worker]:
        """Yield the workers whose tasks have begun."""
        return (worker for team in self.by_stage for worker in team if worker.task is not None)

    def successes(self) -> int:
        """Return how many items went through every stage."""
        return sum(worker.processed for worker in self.by_stage[-1])
