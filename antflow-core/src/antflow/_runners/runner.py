"""What the engine asks of the place where the tasks of a stage run."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from antflow.stage import TaskFunc

TaskCall = Callable[[Any], Awaitable[Any]]
"""A task as a worker calls it: with the item's value; the result is awaited."""


@dataclass(frozen=True, slots=True)
class RunnerStats:
    """What a runner counts.

    Args:
        abandoned: threads that still run a function whose call was cancelled.
    """

    abandoned: int = 0


class StageRunner(Protocol):
    """Runs the tasks of one stage in one run; what it opens for that, it opens at the first call.

    All methods are called on the event loop; `stats` in any thread, too.
    """

    def bind(self, task: TaskFunc) -> TaskCall:
        """Return a task, of any kind of function, as a worker calls it.

        A call that takes longer than the stage's `task_timeout` raises TimedOut.
        """

    def call_plain(self, function: Callable[[Any], Any], name: str, value: Any) -> Awaitable[Any]:
        """Call a plain function as if it were a task, without a timeout.

        Args:
            function: called with `value`; an awaitable that it returns is awaited on the loop.
            name: what the log calls it.
        """

    def resize(self, workers: int) -> None:
        """Serve so many workers from now on."""

    def stats(self) -> RunnerStats:
        """Return the counts of this moment."""

    def close(self, *, cancel: bool) -> Future[None] | None:
        """End, the last call being over; the run ends when this has.

        Args:
            cancel: the run was aborted or its event loop is closed: wait for nothing that ends by
                itself.

        Returns:
            A future that is done when nothing is left but abandoned threads; None if that is so
            already, so that a run that opened nothing need not wait.
        """
