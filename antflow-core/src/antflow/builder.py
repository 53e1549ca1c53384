"""`BaseBuilder`: the methods of `PipelineBuilder` that do not need `Pipeline`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, Unpack

from ._errors.suggestions import UnknownFieldError, explains_keywords, remedy
from ._errors.texts import one_line, short
from .exceptions import PipelineError
from .limits import Limit
from .retry import RetryWait
from .stage import RetryMode, Stage, StageOptions, TaskFunc, chain_text, task_name
from .tracker import StatusTracker

LifespanFunc = Callable[[Any], AbstractAsyncContextManager[Any]]
"""Gets the pipeline, and returns the context manager around one run of it."""

RENAMED_FIELDS = {
    "tasks": "give the tasks after the name",
    "retry": "give retry_policy",
}
"""Advice for fields of Stage that `add` takes under another name."""

ADD_KEYWORDS = ["name", "workers", "retries", "retry_policy", *StageOptions.__annotations__]
"""The keywords of `add`."""


@explains_keywords("Pipeline", name="_name", public_name="PipelineBuilder")
class BaseBuilder:
    """Collects the stages and options of a pipeline.

    `PipelineBuilder` adds the methods that make a `Pipeline`. It is in the module of `Pipeline`,
    since the two know each other.

    Args:
        name: names the pipeline in statistics, logs and errors.
    """

    def __init__(self, name: str = "pipeline") -> None:
        self._name = name
        self._stages: list[Stage] = []
        self._tracker: StatusTracker | None = None
        self._collects = True
        self._plugins: list[object] = []
        self._autoloads = True
        self._max_failures: float | None = None
        self._lifespan: LifespanFunc | None = None

    @one_line
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {short(self._name)}: {chain_text(self._stages)}>"

    def _add(
        self,
        name: str,
        tasks: Sequence[TaskFunc],
        workers: int,
        retries: int,
        retry_policy: RetryMode,
        **others: Unpack[StageOptions],
    ) -> None:
        for word in others:
            if word not in ADD_KEYWORDS:
                raise UnknownFieldError(
                    f"Stage {name!r}: add() takes no keyword {word!r}; "
                    f"{remedy(word, ADD_KEYWORDS, RENAMED_FIELDS)}"
                )
        options: StageOptions = {"task_attempts": retries, "stage_attempts": retries, **others}
        self._stages.append(
            Stage(name=name, workers=workers, tasks=list(tasks), retry=retry_policy, **options)
        )

    def with_tracker(self, tracker: StatusTracker) -> Self:
        """Use this StatusTracker."""
        self._tracker = tracker
        return self

    def with_plugins(self, *plugins: object, autoload: bool | None = None) -> Self:
        """Add plugins to the installed ones.

        Args:
            plugins: the plugins; one with the same name as an installed plugin replaces it.
            autoload: whether installed plugins take part; None leaves the setting as it is.
        """
        self._plugins += plugins
        if autoload is not None:
            self._autoloads = autoload
        return self

    def with_max_failures(self, most: float | None) -> Self:
        """Stop a run when more items than this have failed.

        Args:
            most: a whole number of items, or a share between 0 and 1, as for `Pipeline`.
        """
        self._max_failures = most
        return self

    def with_lifespan(self, lifespan: LifespanFunc | None) -> Self:
        """Open before each run, and close after it, what its tasks need, such as a database pool.

        Args:
            lifespan: a function of the pipeline that returns an async context manager, as for
                `Pipeline`.
        """
        self._lifespan = lifespan
        return self

    def collect_results(self, enabled: bool = True) -> Self:
        """Set whether the pipeline keeps results.

        Args:
            enabled: whether it keeps them.
        """
        self._collects = enabled
        return self


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
        workers: number of workers of each stage.
        retries: the most attempts of each task, the first included.
        retry_wait: as for Stage.
        task_timeout: as for Stage.
        limits: of each stage.

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
