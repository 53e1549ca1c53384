"""What the short forms of a pipeline, `Pipeline.create` and `Pipeline.quick`, make of tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Unpack

from ._errors.suggestions import UnknownFieldError, unknown_keyword
from .exceptions import PipelineError
from .limits import Limit
from .retry import RetryWait
from .stage import RetryMode, Stage, StageOptions, TaskFunc, task_name

__all__ = ["stages_for"]

LifespanFunc = Callable[[Any], AbstractAsyncContextManager[Any]]
"""Gets the pipeline, and returns the context manager around one run of it."""

ADD_KEYWORDS = ["name", "workers", "retries", "retry_policy", *StageOptions.__annotations__]


def stage_of(
    name: str,
    tasks: Sequence[TaskFunc],
    workers: int,
    retries: int,
    retry_policy: RetryMode,
    /,
    **others: Unpack[StageOptions],
) -> Stage:
    """Return a stage for the arguments of the builder's `add`."""
    for word in others:
        if word not in ADD_KEYWORDS:
            text = unknown_keyword("add", word, ADD_KEYWORDS)
            raise UnknownFieldError(f"Stage {name!r}: add() {text}")
    options: StageOptions = {"task_attempts": retries, "stage_attempts": retries, **others}
    return Stage(name=name, workers=workers, tasks=list(tasks), retry=retry_policy, **options)


def stages_for(
    tasks: TaskFunc | list[TaskFunc] | tuple[TaskFunc, ...],
    workers: int = 5,
    retries: int = 3,
    *,
    retry_wait: RetryWait | None = None,
    task_timeout: float | None = None,
    limits: Sequence[Limit] = (),
) -> list[Stage]:
    """Return a stage for each task, named after it: `fetch_data` gives "FetchData".

    Args:
        tasks: one, or several in order; the second stage of one name gets the number 2.

    Raises:
        PipelineError: `tasks` is neither a task nor a list of tasks.
    """
    if callable(tasks):
        tasks = [tasks]
    if not isinstance(tasks, list | tuple):
        raise PipelineError(
            f"quick() takes a task or a list of tasks, not {tasks!r}; give tasks=[function, ...]"
        )
    stages: list[Stage] = []
    for task in tasks:
        title = task_name(task).replace("_", " ").title().replace(" ", "")
        name = _unused(title or task_name(task), stages)
        stages.append(
            Stage(
                name=name,
                workers=workers,
                tasks=[task],
                task_attempts=retries,
                retry_wait=retry_wait,
                task_timeout=task_timeout,
                limits=limits,
            )
        )
    return stages


def _unused(name: str, stages: list[Stage]) -> str:
    used = {stage.name for stage in stages}
    number, unused = 1, name
    while unused in used:
        number += 1
        unused = f"{name}{number}"
    return unused
