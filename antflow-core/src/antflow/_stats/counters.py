"""Counters of a run: plain numbers, written by the event loop, readable from any thread.

Nothing is locked. A reader copies records of fixed size as a whole, and iterates over nothing that
the event loop may add to. It sees a number as it was before or after a change.
"""

from __future__ import annotations

from collections.abc import Iterable

from antflow.stats import ActivityState

from .histogram import new_record

# An idle worker is _PARKED while items of its stage are parked for retries, and WAITING while they
# wait for a limit; users see both as waiting.
IDLE, BUSY, WAITING, BLOCKED, _PARKED = range(5)
STATES: tuple[ActivityState, ...] = ("idle", "busy", "waiting", "blocked")
# A program may make types of errors without end. Fewer than the 100 names that exporters keep, as
# they sum runs of one name, of which each may fail with other types.
MAX_ERROR_TYPES = 50
OTHER_ERRORS = "other"


class TaskCounters:
    """Counters of one task: attempts by their outcome, and their durations."""

    __slots__ = ("duration", "failed", "retried")

    def __init__(self) -> None:
        self.duration = new_record()
        self.failed = 0
        self.retried = 0


class StageCounters:
    """Counters of one stage, except for items passed on, which each worker counts.

    Args:
        task_names: the names of its tasks; tasks of one name share their counters.
        workers: how many workers it has; all are idle at first.
    """

    __slots__ = (
        "_idle_as",
        "_idle_workers",
        "_origin",
        "_states",
        "abandoned_readers",
        "dropped",
        "errors_by_type",
        "failed",
        "give_ups",
        "queue_wait",
        "retried",
        "skipped",
        "tasks",
        "timeouts",
    )

    def __init__(self, task_names: Iterable[str], workers: int) -> None:
        self.failed = 0
        self.skipped = 0
        self.dropped = 0
        self.retried = 0
        self.timeouts = 0
        self.give_ups = 0
        self.abandoned_readers = 0  # threads inside an input that is not read any more
        self.errors_by_type: dict[str, int] = {}
        self.queue_wait = new_record()
        self.tasks = {name: TaskCounters() for name in task_names}
        self._origin: float | None = None
        self._states = [(0, workers), (0, 0), (0, 0), (0, 0), (0, 0)]
        self._idle_workers = workers
        self._idle_as = IDLE

    def begin(self, now: float) -> None:
        """Start to measure the time of workers, at `now` on the run's clock."""
        self._origin = now

    def add(self, workers: int, now: float) -> None:
        """Count so many more idle workers; less, for a number below 0."""
        spent, number = self._states[self._idle_as]
        # The time that they spend, or have spent, here begins or ends now.
        time = self._nanoseconds(now)
        self._states[self._idle_as] = (spent - workers * time, number + workers)
        self._idle_workers += workers

    def move(self, source: int, target: int, now: float) -> None:
        """Count that one worker changes its state."""
        if source == IDLE:
            self._idle_workers -= 1
            source = self._idle_as
        elif target == IDLE:
            self._idle_workers += 1
            target = self._idle_as
        self._move(source, target, 1, now)

    def set_waiting(self, now: float, *, is_limited: bool, has_parked: bool) -> None:
        """Set as what idle workers count: they wait while items wait for a limit or a retry."""
        idle_as = WAITING if is_limited else _PARKED if has_parked else IDLE
        if idle_as != self._idle_as:
            self._move(self._idle_as, idle_as, self._idle_workers, now)
            self._idle_as = idle_as

    def _move(self, source: int, target: int, workers: int, now: float) -> None:
        # A state is a pair: the time spent in it until any time t is the first number plus t times
        # the second, the number of workers in it. Each pair is replaced as a whole, so that another
        # thread reads no half of a change, though it may see one pair of a move and not yet the
        # other. A change costs the same for any number of workers. Whole nanoseconds, because a sum
        # of fractions could fall by a rounding error.
        time = self._nanoseconds(now)
        spent, number = self._states[source]
        self._states[source] = (spent + workers * time, number - workers)
        spent, number = self._states[target]
        self._states[target] = (spent - workers * time, number + workers)

    def states(self, now: float) -> list[tuple[float, int]]:
        """Return, for each state, worker-seconds until `now` and the workers in it."""
        states = self._states[:]
        spent, workers = states.pop(_PARKED)
        waited, waiting = states[WAITING]
        states[WAITING] = waited + spent, waiting + workers
        time = self._nanoseconds(now)
        return [(max(0, spent + workers * time) / 1e9, workers) for spent, workers in states]

    def limit_wait_share(self, now: float) -> float:
        """Return the share of the waiting time in which workers waited for a limit."""
        time = self._nanoseconds(now)
        held, parked = (
            max(0, spent + workers * time)
            for spent, workers in (self._states[WAITING], self._states[_PARKED])
        )
        return held / (held + parked) if held + parked else 1.0

    def stop(self, now: float) -> None:
        """Stop measuring; called when no worker is left."""
        time = self._nanoseconds(now)
        self._states = [(spent + workers * time, 0) for spent, workers in self._states]

    def _nanoseconds(self, now: float) -> int:
        return 0 if self._origin is None else int((now - self._origin) * 1e9)

    def count_failure(self, error: BaseException) -> None:
        """Count an item that failed."""
        self.failed += 1
        name = type(error).__name__
        if name not in self.errors_by_type and len(self.errors_by_type) >= MAX_ERROR_TYPES:
            name = OTHER_ERRORS
        self.errors_by_type[name] = self.errors_by_type.get(name, 0) + 1
