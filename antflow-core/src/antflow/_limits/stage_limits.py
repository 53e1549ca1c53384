"""The limits of a stage in one run, and the call rates of a pipeline in all of its runs."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Semaphore, get_running_loop

from antflow.stage import Stage

from .leaky_bucket import Rate


class Limits:
    """The limits of one stage in one run.

    Args:
        stage: the definition.
    """

    def __init__(self, stage: Stage) -> None:
        # Of one run: a semaphore belongs to an event loop, and a run whose loop was closed never
        # releases its own.
        self.tasks = {name: Semaphore(most) for name, most in stage.task_concurrency_limits.items()}
        calls = stage.call_concurrency
        self.calls = None if calls is None else Semaphore(calls)
        self.rate: Rate | None = None


class Rates:
    """The call rates of one pipeline, which are kept between its runs.

    On another event loop, the rates start with a full allowance.
    """

    # The called service counts across runs, so a new run must not begin with a full allowance. A
    # `Rate` has a lock of its event loop, so it cannot be kept for another one.

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None
        self._by_stage: dict[str, Rate] = {}

    def of(self, stage: Stage) -> Rate | None:
        """Return the rate of a stage on the running loop; None if it has no `call_rate`."""
        if stage.call_rate is None:
            return None
        loop = get_running_loop()
        if loop is not self._loop:
            self._loop, self._by_stage = loop, {}
        if stage.name not in self._by_stage:
            self._by_stage[stage.name] = Rate(stage.call_rate, stage.call_rate_period)
        return self._by_stage[stage.name]
