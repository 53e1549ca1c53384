"""How much of something the workers of a stage may do at once, and how often."""

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
        self.tasks = {name: Semaphore(most) for name, most in stage.task_concurrency_limits.items()}
        calls = stage.call_concurrency
        self.calls = None if calls is None else Semaphore(calls)
        self.rate: Rate | None = None


class Rates:
    """The call rates of one pipeline: they outlast its runs, as what is called does.

    A limiter belongs to one event loop; on another loop, another one starts from nothing.
    """

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None
        self._limiters: dict[str, Rate] = {}

    def of(self, stage: Stage) -> Rate | None:
        """Return the limiter of a stage on the running loop, if it has a rate."""
        if stage.call_rate is None:
            return None
        loop = get_running_loop()
        if loop is not self._loop:
            self._loop, self._limiters = loop, {}
        if stage.name not in self._limiters:
            self._limiters[stage.name] = Rate(stage.call_rate, stage.call_rate_period)
        return self._limiters[stage.name]
