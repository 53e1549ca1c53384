"""A stage in one run: its channels, counters, limits and tasks, ready for workers."""

from __future__ import annotations

from asyncio import Future, Semaphore
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from antflow._engine.base.item import to_unprocessed
from antflow._engine.channels.channel import Channel
from antflow._engine.channels.edge import Edge, Entry
from antflow._engine.channels.pull_channel import PullChannel
from antflow._engine.channels.result_queue import ResultQueue
from antflow._engine.limiting.executor_stage import ExecutorLimiter, ExecutorStage
from antflow._engine.limiting.limited_channel import LimitedChannel, LimitedPullChannel
from antflow._engine.limiting.limiter import Limiter, limiter_of
from antflow._errors.texts import shown
from antflow._limits.call_limits import CallLimits
from antflow._limits.leaky_bucket import Rate
from antflow._plugins.dispatcher import Dispatcher
from antflow._runners.local_runner import LocalRunner
from antflow._runners.runner import StageRunner, TaskCall
from antflow._stats.counters import StageCounters, TaskCounters
from antflow.limits import Limit, named
from antflow.results import ErrorSummary, PipelineResult, UnprocessedItem
from antflow.stage import Stage, task_name


@dataclass(frozen=True, slots=True)
class StageTask:
    """One task of a stage: its name, how it is called, its counters and its limit."""

    name: str
    call: TaskCall
    counters: TaskCounters
    semaphore: Semaphore | None


class StageRuntime:
    """What the workers of one stage share in one run.

    Args:
        stage: the definition.
        results: where items end.
        output: where items go on to.
        dispatcher: calls the run's observers.
    """

    def __init__(
        self,
        stage: Stage,
        results: ResultQueue,
        output: Edge,
        dispatcher: Dispatcher,
    ) -> None:
        self.stage = stage
        self.name = stage.name
        self.workers = stage.workers  # how many there are to be now
        self.stopped: list[int] = []  # a heap: numbers of workers that were too many and stopped
        is_of_calls = isinstance(stage, ExecutorStage)
        self.limiter = ExecutorLimiter() if is_of_calls else limiter_of(named(stage.limits))
        self.limits: Mapping[str, Limit] = {} if self.limiter is None else self.limiter.limits
        self.input = _channel(stage, self.limiter)
        self.entry = Entry(self.input)
        self.inputs: list[Edge] = []
        self.output = output
        self.results = results
        self.dispatcher = dispatcher
        self.call_limits = CallLimits(stage.task_concurrency_limits, stage.call_concurrency)
        self.runner: StageRunner = LocalRunner(stage)
        self.closing: Future[None] | None = None  # done when the runner has ended
        names = [task_name(task) for task in stage.tasks]
        self.counters = StageCounters(names, stage.workers)
        self.tasks = [
            StageTask(
                name,
                self.runner.bind(task),
                self.counters.tasks[name],
                self.call_limits.tasks.get(name),
            )
            for name, task in zip(names, stage.tasks, strict=True)
        ]
        self.task_policy = stage.task_policy
        self.stage_policy = stage.stage_policy
        self.may_call_back = stage.on_success is not None or stage.skip_if is not None
        self.has_retry_timeout = stage.retry_timeout is not None
        self.has_item_timeout = stage.item_timeout is not None

    def new_input(self) -> Edge:
        """Return a new edge that leads to the stage."""
        edge = Edge(self.input, self.name)
        self.inputs.append(edge)
        return edge

    def begin(self, rate: Rate | None, clock: Callable[[], float]) -> None:
        """Begin to count time.

        Args:
            rate: limits the stage's calls.
            clock: of the run.
        """
        self.call_limits.rate = rate
        self.counters.begin(clock())
        channel = self.input

        def count_idle(_: object = None) -> None:
            is_limited = isinstance(channel, LimitedChannel) and channel.is_limited
            has_parked = len(channel.parked_items) > 0
            self.counters.set_waiting(clock(), is_limited=is_limited, has_parked=has_parked)

        channel.parked_items.on_change = count_idle
        if isinstance(channel, LimitedChannel):
            channel.on_limited = count_idle
            channel.limiter.begin(clock, channel.waiting_for)

    def resize(self, workers: int) -> None:
        """Set how many workers there are to be, for what depends on the number but is no worker."""
        self.workers = workers
        self.runner.resize(workers)
        if isinstance(self.input, PullChannel):
            self.input.max_held = workers

    def note_surplus(self) -> None:
        """Have workers look, after each item, whether they are too many; or not any more."""
        self.output.channel.note_senders(has_surplus=self.input.receivers.surplus > 0)

    def end(self, now: float, *, is_aborted: bool) -> None:
        """Stop to count time, the workers being gone, and begin to close the runner."""
        if self.limiter is not None:
            self.limiter.end()
        self.counters.stop(now)
        self.closing = self.runner.close(cancel=is_aborted)

    @property
    def keeps_items(self) -> bool:
        """Whether its workers hold an item that is done until the next stage takes it."""
        return isinstance(self.output.channel, PullChannel)

    @property
    def has_permits(self) -> bool:
        """Whether an attempt may have to wait for its task's limit, or may come too late."""
        return self.has_item_timeout or any(task.semaphore for task in self.tasks)

    @property
    def has_one_call(self) -> bool:
        """Whether a worker makes one attempt at an item, with nothing to ask or wait for before."""
        one_task = len(self.tasks) == 1 and self.tasks[0].semaphore is None
        return one_task and self.stage.skip_if is None and not self.has_item_timeout

    @property
    def is_simple(self) -> bool:
        """Whether an item that does not fail needs nothing but one call."""
        stage = self.stage
        return self.has_one_call and stage.on_success is None and not stage.pull


def _channel(stage: Stage, limiter: Limiter | None) -> Channel:
    """Return a new channel in front of a stage."""
    if stage.pull:  # what is parked is bounded by the workers
        if limiter is None:
            return PullChannel(stage.workers)
        return LimitedPullChannel(stage.workers, limiter)
    if limiter is None:
        return Channel(stage.capacity, stage.max_parked)
    return LimitedChannel(stage.capacity, stage.max_parked, limiter)


def worker_name(stage: Stage, number: int) -> str:
    """Return the name of a stage's worker of that number, from 0."""
    return f"{stage.name}-W{number}"


def stage_named(
    stages: Sequence[StageRuntime],
    name: str,
    pipeline: str,
    item: PipelineResult | UnprocessedItem | None = None,
) -> StageRuntime:
    """Return a stage by its name.

    Args:
        item: an item of an earlier run that goes back there; None for a name that a user gave.

    Raises:
        ValueError: there is none of that name.
    """
    for stage in stages:
        if stage.name == name:
            return stage
    names = ", ".join(repr(stage.name) for stage in stages)
    text = f"Stage {name!r} not found in pipeline {pipeline!r}; it has {names}"
    if item is not None:
        text += f"; item {shown(item.id)} was there: feed its value, or an Item, to another stage"
    raise ValueError(text)


def unprocessed_items(stages: Iterable[StageRuntime]) -> list[UnprocessedItem]:
    """Return what a run has left, by stage, priority and input order."""
    return [
        to_unprocessed(item, stage.name)
        for stage in stages
        for item in sorted(stage.input.unprocessed, key=attrgetter("priority", "sequence_id"))
    ]


def error_summary(
    stages: Iterable[StageRuntime], results: ResultQueue, most: int | None = None
) -> ErrorSummary:
    """Return the failures: exact counts, and details of the latest `most`, or of all kept."""
    by_type: Counter[str] = Counter()
    by_stage = {}
    for stage in stages:
        by_type.update(stage.counters.errors_by_type.copy())
        if stage.counters.failed:
            by_stage[stage.name] = stage.counters.failed
    # Another thread may ask: the loop can add to what is copied only between two steps.
    items = list(results.failed_items)
    return ErrorSummary(
        total_failed=sum(by_stage.values()),
        errors_by_type=dict(by_type),
        errors_by_stage=by_stage,
        failed_items=items if most is None else items[-most:],
    )
