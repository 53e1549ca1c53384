"""`Stage`, the definition of one step of a pipeline, and the checks of its fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, Field, dataclass, field, fields
from functools import lru_cache, partial
from math import inf
from typing import Any, Literal, TypedDict

from ._errors.suggestions import explains_arguments, nearest
from ._errors.texts import listed, one_line, short
from .exceptions import PipelineError, StageValidationError
from .limits import Limit
from .retry import (
    ONCE,
    RetryOn,
    RetryPolicy,
    RetryWait,
    checked_wait,
    is_count,
    is_duration,
    is_other_number,
    is_positive,
)

RetryMode = Literal["per_task", "per_stage"]
ItemCallback = Callable[[Any, Any, dict[str, Any]], Any]
"""A callback: called with an item's id, a value or an error, and a dict about the item."""

TaskFunc = Callable[..., Any]
"""A task: a coroutine function runs on the event loop, a plain function in a thread."""

CAPACITY_PER_WORKER = 10
MAX_WORKERS = 100_000  # each is listed in every snapshot, also before there is work for it
RETRY_MODES = ("per_task", "per_stage")

_CACHED = type(lru_cache(repr))  # has no public name


class CommonOptions(TypedDict, total=False):
    """The fields of `Stage` that the builder's `add` takes by their own names, but for two."""

    task_attempts: int
    task_wait_seconds: float
    stage_attempts: int
    task_concurrency_limits: Mapping[str, int]
    on_success: ItemCallback | None
    on_failure: ItemCallback | None
    queue_capacity: int | None
    on_skip: ItemCallback | None
    pull: bool
    call_concurrency: int | None
    call_rate: float | None
    call_rate_period: float
    retry_wait: RetryWait | None
    retry_on: RetryOn
    never_retry: type[BaseException] | tuple[type[BaseException], ...]
    retry_timeout: float | None
    max_parked: int | None
    task_timeout: float | None
    item_timeout: float | None
    limits: Sequence[Limit]


class StageOptions(CommonOptions, total=False):
    """The fields of `Stage` that the builder's `add` takes by their own names."""

    # With these, the types of a stage are not those of its task.
    unpack_args: bool
    skip_if: Callable[[Any], Any] | None


class AddOptions(CommonOptions, total=False):
    """The keywords of the builder's `add` that leave the types of a stage to its task."""

    workers: int
    retries: int
    retry_policy: RetryMode


@explains_arguments
@dataclass(repr=False)
class Stage:
    """One step of a pipeline: its tasks, its workers, and how failures are retried.

    Args:
        name: names the stage in statistics, events and errors; unique within its pipeline.
        workers: how many items the stage works on at once, up to 100,000; a worker is made
            when there is an item for it.
        tasks: run in order on each item; each gets the value that the one before returned. A
            coroutine function runs on the event loop, a plain function in a thread.
        retry: "per_task" tries a failed task again; "per_stage" puts the item back into the
            stage's queue, to begin again with the first task.
        task_attempts: with "per_task", the most attempts at each task, the first included.
        task_wait_seconds: with "per_task", seconds between two attempts; the item is parked
            meanwhile, and its worker takes others.
        stage_attempts: with "per_stage", the most attempts at the whole stage, the first included.
        unpack_args: pass a dict as keywords, and a list or tuple as positional arguments.
        task_concurrency_limits: how many workers may run a task at once, by the task's name.
        on_success: called when the stage has finished an item, with the item's id, its new value
            and a dict of its metadata with "id" and "value" added; an awaitable that it returns
            is awaited.
        on_failure: called in the same way for an item that failed, with the error as the value.
        skip_if: called with the value; if the answer is true, the item goes to the next stage
            unchanged. An awaitable is awaited.
        queue_capacity: how many items may wait in front of the stage; 0 for no limit, None for ten
            per worker.
        on_skip: called like `on_success`, for an item that was skipped.
        pull: whether no item may wait in front of the stage: an item then leaves the stage before
            only when a worker of this stage is ready for it.
        call_concurrency: how many tasks may be inside `concurrency_limit` at once.
        call_rate: how many calls `rate_limit` allows per `call_rate_period` in the long run. This
            many may come at once; later ones are evenly spaced.
        call_rate_period: length of that period in seconds.
        retry_wait: how long an item waits for its next attempt: seconds, a `Backoff`, a wait
            strategy of tenacity, or a function that is called with the number of the attempt that
            failed and with its error, and returns seconds. None for `task_wait_seconds`, and for no
            wait with "per_stage".
        retry_on: the errors after which an attempt is repeated: a type, a tuple of types, or a
            function that is called with an error and returns whether it is.
        never_retry: a type of errors, or a tuple of types, that another attempt does not cure, such
            as NameError; an item whose attempt raises one of them fails at once.
        retry_timeout: seconds from the start of the first attempt, after which no other attempt is
            due; one that is due before begins when a worker is free. None for no limit.
        max_parked: how many items may wait for their next attempt, and as many for the key of a
            limit, before the stage takes no new ones; None for 1,000, or for the queue's capacity
            if that is more.
        task_timeout: seconds that one attempt at a task may take; then it is cancelled, and fails
            with an AttemptTimeoutError. A thread cannot be cancelled: it is abandoned. None for no
            limit.
        item_timeout: seconds that an item may take in the stage, from the moment when a worker
            first takes it, with all attempts and the waits between them; then it fails with an
            ItemTimeoutError. One that waits for a worker or a limit by then fails when a worker
            takes it. None for no limit.
        limits: all of them have to allow an item to start, see `Limit`; an item that waits for one
            holds no worker.

    Raises:
        StageValidationError: a keyword is not one of these; it is a TypeError too. What the
            fields hold is checked by `validate`, which a pipeline calls.
    """

    name: str
    workers: int
    tasks: Sequence[TaskFunc]
    retry: RetryMode = "per_task"
    task_attempts: int = 3
    task_wait_seconds: float = 1.0
    stage_attempts: int = 3
    unpack_args: bool = False
    task_concurrency_limits: Mapping[str, int] = field(default_factory=dict)
    on_success: ItemCallback | None = None
    on_failure: ItemCallback | None = None
    skip_if: Callable[[Any], Any] | None = None
    queue_capacity: int | None = None
    _: KW_ONLY  # new fields stand in any order, since none has a position
    on_skip: ItemCallback | None = None
    pull: bool = False
    call_concurrency: int | None = None
    call_rate: float | None = None
    call_rate_period: float = 60.0
    retry_wait: RetryWait | None = None
    retry_on: RetryOn = Exception
    never_retry: type[BaseException] | tuple[type[BaseException], ...] = ()
    retry_timeout: float | None = None
    max_parked: int | None = None
    task_timeout: float | None = None
    item_timeout: float | None = None
    limits: Sequence[Limit] = ()

    @one_line
    def __repr__(self) -> str:
        texts = [
            f"{each.name}={value_text(getattr(self, each.name))}"
            for each in fields(self)[1:]  # the name stands in front, without a keyword
            if getattr(self, each.name) != default_of(each)
        ]
        return f"{type(self).__name__}({', '.join([short(self.name), *texts])})"

    def validate(self) -> None:
        """Check the configuration.

        Raises:
            StageValidationError: it is invalid; the text names the stage, the value, and what to
                give instead.
        """
        # Not in the constructor: a pipeline checks its stages when it is made, so a field may still
        # be set after the stage is made. The name comes first, because every other error has it.
        for check in _CHECKS:
            check(self)

    @property
    def capacity(self) -> float:
        """How many items may wait in front of the stage; infinity if there is no limit."""
        if self.pull:
            return 0
        # Enough that workers do not wait for the stage before, and few enough that memory stays
        # bounded by the number of workers.
        if self.queue_capacity is None:
            return CAPACITY_PER_WORKER * self.workers
        return self.queue_capacity or inf

    @property
    def task_policy(self) -> RetryPolicy:
        """How attempts at one task are repeated."""
        if self.retry == "per_stage":
            return ONCE  # the stage begins again with its first task
        return self._policy(self.task_attempts, self.task_wait_seconds)

    @property
    def stage_policy(self) -> RetryPolicy:
        """How attempts at the whole stage are repeated."""
        if self.retry != "per_stage":
            return ONCE
        return self._policy(self.stage_attempts, 0.0)

    def _policy(self, attempts: int, seconds: float) -> RetryPolicy:
        wait = seconds if self.retry_wait is None else checked_wait(self.retry_wait)
        assert wait is not None
        return RetryPolicy(attempts, wait, self.retry_on, self.never_retry, self.retry_timeout)


def _check_name(stage: Stage) -> None:
    if not isinstance(stage.name, str) or not stage.name:
        raise StageValidationError(f"A stage's name must be a non-empty string, not {stage.name!r}")


def _check_kinds_of_numbers(stage: Stage) -> None:
    for each in fields(stage):
        if is_other_number(value := getattr(stage, each.name)):
            raise _invalid(stage, f"has {each.name}={value!r}; give an int or float of Python")


def _check_tasks(stage: Stage) -> None:
    if callable(stage.tasks):  # the most likely mistake, so its remedy is written out
        raise _invalid(
            stage,
            f"takes a list of tasks, not {stage.tasks!r}; write tasks=[{task_name(stage.tasks)}]",
        )
    if stage.tasks is not None and (
        not isinstance(stage.tasks, Sequence) or isinstance(stage.tasks, str)
    ):
        raise _invalid(stage, f"takes a list of tasks, not {stage.tasks!r}; give tasks=[function]")
    if not stage.tasks:
        raise _invalid(stage, "must have at least one task; give tasks=[function, ...]")
    for task in stage.tasks:
        if not callable(task):
            raise _invalid(
                stage, f"has a task that cannot be called: {task!r}; give the function itself"
            )
        # Calling one runs none of its code, so the next task would get a generator object.
        if (kind := _kind_of_generator(task)) is not None:
            raise _invalid(
                stage,
                f"has a task that is {kind}: {task_name(task)!r}; return one value, and "
                "feed() the others, or feed_threadsafe() them from a plain function",
            )


def _check_retry(stage: Stage) -> None:
    if stage.retry not in RETRY_MODES:
        near = nearest(stage.retry, RETRY_MODES)
        remedy = f"did you mean {near!r}?" if near else "use 'per_task' or 'per_stage'"
        raise _invalid(stage, f"has retry={stage.retry!r}. Invalid retry policy; {remedy}")
    for name in ("task_attempts", "stage_attempts"):
        attempts = getattr(stage, name)
        if not is_count(attempts, 1):
            raise _invalid(
                stage,
                f"has {name}={attempts!r}; it counts the first attempt too, so give 1 or more",
            )
    if not is_duration(stage.task_wait_seconds):
        raise _invalid(
            stage, f"has task_wait_seconds={stage.task_wait_seconds!r}; give seconds, 0 or more"
        )


def _check_policy(stage: Stage) -> None:
    if stage.retry_wait is not None and checked_wait(stage.retry_wait) is None:
        raise _invalid(
            stage,
            f"has retry_wait={stage.retry_wait!r}; give seconds, 0 or more, a Backoff, a wait "
            "strategy of tenacity, or a function of attempt and error",
        )
    if not is_error_types(stage.never_retry):
        raise _invalid(
            stage,
            f"has never_retry={stage.never_retry!r}; give a type of exceptions, or a tuple "
            "of types such as (NameError, TypeError)",
        )
    retry_on = stage.retry_on
    is_function = callable(retry_on) and not isinstance(retry_on, type)
    if not is_function and not is_error_types(retry_on):
        raise _invalid(
            stage,
            f"has retry_on={retry_on!r}; give a type of exceptions, a tuple of types, or a "
            "function that is called with an error",
        )


def _check_timeouts(stage: Stage) -> None:
    for name in ("retry_timeout", "task_timeout", "item_timeout"):
        seconds = getattr(stage, name)
        if seconds is not None and not is_positive(seconds):
            raise _invalid(
                stage, f"has {name}={seconds!r}; give seconds, above 0, or None for no limit"
            )


def _check_workers(stage: Stage) -> None:
    if not is_count(stage.workers, 1):
        raise _invalid(
            stage, f"must have at least 1 worker, not {stage.workers!r}; set workers to 1 or more"
        )
    if stage.workers > MAX_WORKERS:
        raise _invalid(
            stage,
            f"cannot have {short(stage.workers)} workers; set workers to the number of items to "
            f"work on at once, {MAX_WORKERS:,} or fewer",
        )


def _check_capacity(stage: Stage) -> None:
    if stage.max_parked is not None and not is_count(stage.max_parked, 1):
        raise _invalid(
            stage,
            f"has max_parked={stage.max_parked!r}; give a number of items, 1 or more, or None "
            "for 1,000, or the queue's capacity if that is more",
        )
    if stage.queue_capacity is not None and not is_count(stage.queue_capacity, 0):
        raise _invalid(
            stage,
            f"has queue_capacity={stage.queue_capacity!r}; give a number of items, 0 for no "
            "bound or None for ten per worker",
        )
    if not stage.pull:
        return
    if stage.retry == "per_stage":
        raise _invalid(
            stage,
            "cannot pull with retry='per_stage', since nothing waits in front of it to be "
            "tried again; use retry='per_task'",
        )
    if stage.queue_capacity is not None:
        raise _invalid(
            stage,
            f"cannot pull with queue_capacity={stage.queue_capacity!r}, since nothing waits in "
            "front of it; leave one of the two out",
        )


def _check_functions(stage: Stage) -> None:
    for name in ("on_success", "on_failure", "on_skip", "skip_if"):
        function = getattr(stage, name)
        if function is not None and not callable(function):
            raise _invalid(stage, f"has {name}={function!r}; give a function or None")


def _check_switches(stage: Stage) -> None:
    for name in ("unpack_args", "pull"):
        switch = getattr(stage, name)
        # A truthy string or number is more likely an argument in the wrong position.
        if not isinstance(switch, bool):
            raise _invalid(stage, f"has {name}={switch!r}; give True or False")


def _check_task_limits(stage: Stage) -> None:
    limits = stage.task_concurrency_limits
    if not isinstance(limits, Mapping):
        raise _invalid(
            stage, f"has task_concurrency_limits={limits!r}; give a dict of task names and numbers"
        )
    names = [task_name(task) for task in stage.tasks]
    for name, most in limits.items():
        # A misspelt name would limit nothing, which shows only under load.
        if name not in names:
            raise _invalid(
                stage,
                f"has a limit for an unknown task {name!r}; its tasks are "
                f"{', '.join(map(repr, names))}",
            )
        if not is_count(most, 1):
            raise _invalid(
                stage,
                f"has the limit {most!r} for task {name!r}; give a number of workers, 1 or more",
            )


def _check_call_limits(stage: Stage) -> None:
    calls = stage.call_concurrency
    if calls is not None and not is_count(calls, 1):
        raise _invalid(
            stage,
            f"has call_concurrency={calls!r}; give a number of tasks, 1 or more, or None for "
            "no limit",
        )
    if stage.call_rate is not None and not is_positive(stage.call_rate):
        raise _invalid(
            stage,
            f"has call_rate={stage.call_rate!r}; give a number of calls per call_rate_period, "
            "above 0, or None for no limit",
        )
    if not is_positive(stage.call_rate_period):
        raise _invalid(
            stage, f"has call_rate_period={stage.call_rate_period!r}; give seconds, above 0"
        )


def _check_limits(stage: Stage) -> None:
    limits = stage.limits
    if isinstance(limits, Limit) or not isinstance(limits, Sequence):
        raise _invalid(stage, f"takes a list of limits, not {limits!r}; give limits=[Limit(...)]")
    for limit in limits:
        if not isinstance(limit, Limit):
            raise _invalid(stage, f"has {limit!r} among its limits; give a Limit")
        if limit.key is not None and stage.pull:
            raise _invalid(
                stage,
                f"cannot pull with {limit!r}, since no item waits in front of it that those of "
                "other keys could pass; leave out pull or key",
            )
    if len({id(limit) for limit in limits}) < len(limits):
        raise _invalid(stage, "has a limit twice; an item would take it twice")
    names = [limit.name for limit in limits if limit.name is not None]
    for name in names:
        if names.count(name) > 1:
            raise _invalid(stage, f"has two limits named {name!r}; name each differently")


def _invalid(stage: Stage, text: str) -> StageValidationError:
    return StageValidationError(f"Stage {stage.name!r} {text}")


_CHECKS: Sequence[Callable[[Stage], None]] = (
    _check_name,
    _check_kinds_of_numbers,
    _check_tasks,
    _check_retry,
    _check_policy,
    _check_timeouts,
    _check_workers,
    _check_capacity,
    _check_functions,
    _check_switches,
    _check_task_limits,
    _check_call_limits,
    _check_limits,
)


def checked_stages(stages: Iterable[Stage], pipeline: str) -> tuple[Stage, ...]:
    """Return the stages of a pipeline if each of them, and the chain as a whole, is valid.

    Raises:
        PipelineError: they are not a list of stages, there is none, or the first one pulls.
        StageValidationError: a stage is invalid, or two have the same name.
    """
    if not isinstance(stages, Iterable):
        raise PipelineError(f"Pipeline {pipeline!r} takes a list of stages, not {stages!r}")
    stages = tuple(stages)
    if not stages:
        raise PipelineError(
            f"Pipeline {pipeline!r} must have at least one stage; give stages=[...]"
        )
    for stage in stages:
        if not isinstance(stage, Stage):
            raise PipelineError(
                f"Pipeline {pipeline!r} takes a list of stages; {stage!r} is not a Stage"
            )
        stage.validate()
    if stages[0].pull:
        raise PipelineError(
            f"Stage {stages[0].name!r} cannot pull: it is the first stage, and nothing before it "
            "could wait; leave pull out"
        )
    seen: set[str] = set()
    for stage in stages:
        # Statistics, worker names and `feed(target_stage=...)` know a stage by its name.
        if stage.name in seen:
            raise StageValidationError(
                f"Duplicate stage name {stage.name!r} in pipeline {pipeline!r}; "
                "name each differently"
            )
        seen.add(stage.name)
    return stages


def task_name(task: TaskFunc) -> str:
    """Return a task's name: its `__name__`, or that of a partial's function, or its type's."""
    if isinstance(task, partial):
        return task_name(task.func)
    name = getattr(task, "__name__", None)
    return name if isinstance(name, str) else type(task).__name__


def _kind_of_generator(task: TaskFunc) -> str | None:
    """Return which kind of generator function a task is, or None.

    It looks through partial objects, caches and `__call__`.
    """
    task = _uncached(task)
    if not inspect.isroutine(task) and not isinstance(task, type):
        task = _uncached(type(task).__call__)
    if inspect.isasyncgenfunction(task):
        return "an async generator"
    if inspect.isgeneratorfunction(task) and not _is_awaited_generator(task):
        return "a generator"
    return None


def _uncached(task: TaskFunc) -> TaskFunc:
    """Return the function that partial objects, methods and `functools.cache` call."""
    # No other decorator is looked through: it may collect what a generator yields into one value.
    while True:
        if isinstance(task, partial):
            task = task.func
        elif inspect.ismethod(task):
            task = task.__func__
        elif isinstance(task, _CACHED):
            task = task.__wrapped__
        else:
            return task


def _is_awaited_generator(task: TaskFunc) -> bool:
    """Return whether `types.coroutine` has made a generator function return awaitables."""
    code = getattr(task, "__code__", None)
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def default_of(each: Field[Any]) -> object:
    """Return the default of a field; MISSING if it has none."""
    return each.default if each.default_factory is MISSING else each.default_factory()


def value_text(value: object) -> str:
    """Return the text of a value in `repr()` of a stage: of functions, their names."""
    if callable(value):
        return task_name(value)
    if isinstance(value, tuple):
        return f"({listed(map(value_text, value))}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{listed(map(value_text, value))}]"
    return short(value)


def chain_text(stages: Sequence[Stage]) -> str:
    """Return the text of stages in `repr()` of a pipeline."""
    return listed(map(_stage_text, stages), " -> ") or "no stages"


def _stage_text(stage: Stage) -> str:
    workers = "1 worker" if stage.workers == 1 else f"{value_text(stage.workers)} workers"
    return f"{short(stage.name)} ({workers}: {listed(map(value_text, stage.tasks))})"


def is_coroutine_function(task: TaskFunc) -> bool:
    """Return whether a task is a coroutine function, or wraps one.

    It looks through partial objects, `__wrapped__` and `__call__`.
    """
    # A plain wrapper around a coroutine function runs on the loop: in a thread, the code of the
    # wrapper and that of the coroutine would run in two threads.
    return always_awaitable(task) or any(always_awaitable(inner) for inner in _wrapped(task))


def always_awaitable(task: TaskFunc) -> bool:
    """Return whether each call of a task returns an awaitable; a plain wrapper may not."""
    if isinstance(task, partial):
        return always_awaitable(task.func)
    if inspect.iscoroutinefunction(task):
        return True
    return not inspect.isroutine(task) and inspect.iscoroutinefunction(type(task).__call__)


def _wrapped(task: TaskFunc) -> Iterator[TaskFunc]:
    """Yield a task, the function that it wraps, the one that this wraps, and so on."""
    seen: list[object] = []  # a list, since a callable object need not be hashable
    while not any(task is earlier for earlier in seen):
        yield task
        seen.append(task)
        if isinstance(task, partial):
            task = task.func
        else:
            task = getattr(task, "__dict__", {}).get("__wrapped__", task)


def is_error_types(value: object) -> bool:
    """Return whether a value is a type of exceptions, or a tuple of such types."""
    types = value if isinstance(value, tuple) else (value,)
    return all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in types)
