"""The stage of an executor, whose items are calls, each with its own limit or none."""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import Callable, Iterator
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from antflow._errors.texts import one_line, short
from antflow._limits.meters import Meters
from antflow.exceptions import RetryAfter
from antflow.limits import Limit, meters_of
from antflow.results import PipelineResult
from antflow.retry import Backoff, RetryPolicy, Wait
from antflow.stage import Stage, task_name

from .limit_waiter import Candidate
from .limiter import Limiter, needs_of


class Call:
    """A call of a function, the value of an item of an executor.

    Args:
        function: a coroutine function, or a plain one that is called in a thread.
        is_async: whether it is called on the event loop.

    Attributes:
        retries: how many more attempts follow the first.
        backoff: the waits between them.
        semaphore: acquired around each attempt.
        limit: allows each attempt to start.
    """

    __slots__ = (
        "args",
        "backoff",
        "function",
        "is_async",
        "kwargs",
        "limit",
        "retries",
        "semaphore",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        is_async: bool,
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.is_async = is_async
        self.retries = 0
        self.backoff: Backoff | None = None
        self.semaphore: Semaphore | None = None
        self.limit: Limit | None = None

    def with_arguments(self, args: tuple[Any, ...]) -> Call:
        """Return the call of the same function with other arguments."""
        call = Call(self.function, args, self.kwargs, is_async=self.is_async)
        call.retries, call.backoff = self.retries, self.backoff
        return call

    @one_line
    def __repr__(self) -> str:
        keywords = [f"{name}={short(value)}" for name, value in self.kwargs.items()]
        return f"{self.name}({', '.join([*map(short, self.args), *keywords])})"

    @property
    def name(self) -> str:
        """The name of the function."""
        return task_name(self.function)

    @property
    def argument(self) -> Any:
        """What `key` and `cost` of a limit are called with."""
        return self.args[0] if len(self.args) == 1 else self.args

    def begin(self) -> Any:
        """Call the function."""
        return self.function(*self.args, **self.kwargs)


class ExecutorRetryPolicy(RetryPolicy):
    """Repeats each call as often as the call allows, which `retry_on` says."""

    __slots__ = ()

    def delay(
        self, attempt: int, error: BaseException, *, elapsed: float = 0.0, chance: float = 1.0
    ) -> float | None:
        """Return the seconds until the next attempt, or None if the call fails."""
        has_retries = cast("Callable[[BaseException], bool]", self.retry_on)
        # It chooses the wait, and repeats an attempt whatever `retry_on` says.
        if isinstance(error, RetryAfter) and not has_retries(error):
            return None
        return super().delay(attempt, error, elapsed=elapsed, chance=chance)


class ExecutorStage(Stage):
    """A stage whose items are calls."""

    def _policy(self, attempts: int, seconds: float) -> RetryPolicy:
        wait = cast("Wait", self.retry_wait)  # the executor's own function
        return ExecutorRetryPolicy(attempts, wait, self.retry_on)


class LimitsOfCalls(WeakValueDictionary[str, Limit]):
    """Limits by name; not kept alive, since a program may make ever more."""

    def items(self) -> Iterator[tuple[str, Limit]]:  # type: ignore[override]
        """Return names and limits, also in another thread while limits come and go."""
        # Python copies the references in one step; iterating over them could fail.
        pairs = [(each.key, each()) for each in self.valuerefs()]
        return iter([(name, limit) for name, limit in pairs if limit is not None])


class ExecutorLimiter(Limiter):
    """Takes the limits of calls; a call without one may start before those that wait."""

    def __init__(self) -> None:
        super().__init__({})
        self.is_constant = True  # so that `take_if_free` is asked first
        self._constant = None
        self._of_calls = LimitsOfCalls()
        self._names = WeakKeyDictionary[Limit, str]()
        self._their_meters = WeakSet[Meters]()
        self._number = 1  # of the last limit whose name was taken
        self.limits, self.all_meters = self._of_calls, self._their_meters

    def take_if_free(self, item: PipelineResult) -> bool:
        """Return whether a call has no limit; it then has nothing to take."""
        if item.value.limit is not None:
            return False
        self.last_grant = None
        return True

    def candidate(self, item: PipelineResult) -> Candidate:
        """Return a call with what it needs of its limit; this calls `key` and `cost`."""
        call = item.value
        if call.limit is None:
            return Candidate(item, ())
        try:
            name = self._name_of(call.limit)
            needs = needs_of({name: call.limit}, call.argument)
        except BaseException as error:  # that of the call, as if its function had raised it
            return Candidate(item, (), error)
        # Calls with other limits may pass it, as those of other keys may.
        return Candidate(item, tuple(need._replace(has_key=True) for need in needs))

    def _name_of(self, limit: Limit) -> str:
        """Return the name of a limit among those of the calls, and use the limit from now on."""
        name = self._names.get(limit)
        if name is None:
            name = self._names[limit] = self._free_name(limit.name or "limit")
            self._of_calls[name] = limit
            meters = meters_of(limit)
            self._their_meters.add(meters)
            meters.join(self)
        return name

    def _free_name(self, wanted: str) -> str:
        """Return a name that no other limit has: the wanted one, or that with a number."""
        name = wanted
        while name in self._of_calls:
            self._number += 1  # not from 2 each time: there may be thousands
            name = f"{wanted}-{self._number}"
        return name
