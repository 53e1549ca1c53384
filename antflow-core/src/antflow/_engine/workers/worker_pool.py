"""The workers of one run: started when there is work for them."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Iterator, Sequence
from contextvars import Context
from functools import partial
from heapq import heappop

from antflow._engine.base.run_state import RunState

from .failures import Failures
from .loops import work
from .stage_runtime import StageRuntime, worker_name
from .worker import Worker


class WorkerPool:
    """Starts the workers of one run, each in an asyncio task and a copy of the run's context.

    Args:
        run: the state of the run.
        stages: of the run.
    """

    def __init__(self, run: RunState, stages: Sequence[StageRuntime]) -> None:
        self.teams = [Team(stage) for stage in stages]
        self._run = run
        self._open: tuple[Context, Failures] | None = None

    def open(self, context: Context, failures: Failures) -> None:
        """Start workers from now on, as items arrive.

        Args:
            context: copied for each worker.
            failures: of the run.
        """
        if self._run.is_closed:
            return
        self._open = context, failures
        for team in self.teams:
            self._add(team, team.stage.workers)

    def set_workers(self, stage: StageRuntime, number: int) -> None:
        """Set how many workers a stage has; of those that are too many, the busy ones stop later.

        Args:
            stage: the stage.
            number: of its workers, from now on.
        """
        team = next(team for team in self.teams if team.stage is stage)
        change = number - stage.workers
        stage.resize(number)
        counted = change  # workers that work do so until they stop
        if self._open is not None:
            counted = self._add(team, change) if change > 0 else -team.remove(-change)
        stage.counters.add(counted, self._run.clock())
        stage.note_surplus()

    def _add(self, team: Team, number: int) -> int:
        """Add workers, and return how many of them are to be started."""
        start = partial(self._start_worker, team)
        return team.stage.input.receivers.add_lazy(number, start)

    def _start_worker(self, team: Team) -> None:
        assert self._open is not None
        context, failures = self._open
        worker = team.next_worker(self._run, failures)
        loop = work(worker)
        try:
            create_task = partial(get_running_loop().create_task, loop, name=worker.name)
            self._run.tasks.create(partial(context.copy().run, create_task))
        except Exception as error:
            loop.close()
            self._run.abort(error)

    def cancel_waits(self) -> None:
        """Cancel the attempts that wait for a limit; the run is closed."""
        for worker in self.begun():
            self._run.on_open_loop(worker.cancel_waits)

    def begun(self) -> Iterator[Worker]:
        """Yield the workers whose tasks have begun, and have not stopped."""
        return (worker for team in self.teams for worker in team.workers if worker.task is not None)


class Team:
    """The workers of one stage in one run.

    Numbers of workers that were too many and stopped are used again, the lowest first, so that the
    names that a run shows are bounded. The worker of such a number is the same object, or what it
    has done would be missing in the sums.

    Args:
        stage: the stage.
    """

    def __init__(self, stage: StageRuntime) -> None:
        self.stage = stage
        self.workers: list[Worker] = []  # those that were ever started, by number
        stage.output.senders = self.workers

    def next_worker(self, run: RunState, failures: Failures) -> Worker:
        """Return the worker that is to be started next."""
        if self.stage.stopped:
            return self.workers[heappop(self.stage.stopped)]
        worker = Worker(len(self.workers), self.stage, run, failures)
        self.workers.append(worker)
        return worker

    def remove(self, number: int) -> int:
        """Remove workers, and return how many of them had not been started."""
        return self.stage.input.receivers.remove(number)

    def listed(self) -> Iterator[tuple[str, Worker | None]]:
        """Yield the name of each worker, and itself unless it is to be started; in any thread."""
        workers, stopped = self.workers[:], sorted(self.stage.stopped)
        to_start = max(0, self.stage.workers - (len(workers) - len(stopped)))
        free, unused = set(stopped), set(stopped[to_start:])  # the lowest are used again first
        for each in workers:
            if each.number not in unused:
                yield each.name, None if each.number in free else each
        for number in range(len(workers), len(workers) + to_start - len(stopped)):
            yield worker_name(self.stage.stage, number), None
