"""The retry policy: which failed attempts are repeated, and after how long."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from inspect import isawaitable, iscoroutine
from numbers import Number
from typing import Any, Protocol, cast

from ._errors.suggestions import explains_arguments
from ._errors.tracebacks import set_on
from .exceptions import MAX_SECONDS, GiveUp, RetryAfter

MAX_UNITS = 10.0**18  # more bytes than a network carries: more is a mistake, such as infinity
MIN_RATE = 1 / MAX_SECONDS
"""Units in a window, at least: seconds can be divided by them."""


@explains_arguments
@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow from attempt to attempt, up to a maximum.

    With `jitter`, each wait is chosen at random between 0 and the length that it would have
    without, so that calls that failed at one moment are not repeated at one moment. (This is "full
    jitter": Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.)

    Args:
        initial: seconds of the wait after the first attempt.
        maximum: seconds that no wait exceeds.
        factor: how many times as long as the wait before each wait is.
        jitter: whether waits are chosen at random.

    Raises:
        ValueError: `initial` or `maximum` is not a number of seconds, 0 or more, or `factor` is
            below 1.
    """

    initial: float = 0.5
    maximum: float = 60.0
    factor: float = 2.0
    jitter: bool = True

    def __post_init__(self) -> None:
        for name in ("initial", "maximum"):
            if not is_duration(value := getattr(self, name)):
                raise ValueError(f"{name} of Backoff is {value!r}; give seconds, 0 or more")
        factor = self.factor
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not factor >= 1:
            raise ValueError(f"factor of Backoff is {factor!r}; give a number, 1 or more")

    def seconds(self, attempt: int, chance: float = 1.0) -> float:
        """Return how long to wait after an attempt.

        Args:
            attempt: number of the attempt that failed, from 1.
            chance: a number from 0 to 1 that is drawn at random.
        """
        longest = self.maximum if self.initial else 0.0
        with suppress(OverflowError):  # a power too large for a float exceeds any maximum
            longest = min(longest, self.initial * self.factor ** (attempt - 1))
        return longest * chance if self.jitter else longest


class WaitOfTenacity(Protocol):
    """A wait strategy of tenacity, such as `tenacity.wait_fixed(1)`."""

    def __call__(self, retry_state: Any) -> float:
        """Return how many seconds to wait."""


Wait = float | Backoff | Callable[[int, BaseException], float]
"""Seconds, a `Backoff`, or a function that is called with the number of the attempt that failed and
with its error, and returns seconds."""

RetryWait = Wait | WaitOfTenacity
"""What a stage takes as `retry_wait`."""

ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]

RetryOn = ErrorTypes | Callable[[BaseException], bool]
"""A type of errors, a tuple of types, or a function that is called with an error."""


FINAL = (GiveUp,)
"""Errors after which no policy makes another attempt."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which failed attempts are repeated, and after how long.

    Args:
        attempts: the most attempts that are made, the first included.
        wait: how long to wait between the end of one attempt and the start of the next.
        retry_on: the errors after which another attempt is made.
        never: types of errors after which none is made.
        timeout: seconds from the start of the first attempt, after which none is due.
    """

    # Data and a pure function: it neither waits, nor reads a clock, nor draws a random number. The
    # channel parks the item.

    attempts: int
    wait: Wait = 0.0
    retry_on: RetryOn = Exception
    never: ErrorTypes = ()
    timeout: float | None = None

    def delay(
        self, attempt: int, error: BaseException, *, elapsed: float = 0.0, chance: float = 1.0
    ) -> float | None:
        """Return the seconds until the next attempt, or None if the item fails.

        Args:
            attempt: number of the attempt that failed, from 1.
            elapsed: seconds since the start of the first attempt.
            chance: a number from 0 to 1 that is drawn at random, for waits with jitter.

        Raises:
            ValueError: a function returned no number of seconds.
            TypeError: a function returned an awaitable.
            Exception: a function of the user raised it.
        """
        # KeyboardInterrupt, CancelledError and the like ask for an end, not for a repetition.
        if attempt >= self.attempts or not isinstance(error, Exception):
            return None
        # The default, a fixed wait after any error, is decided without a further call, since this
        # runs for each attempt that fails.
        wait, wanted = self.wait, self.retry_on
        if isinstance(error, RetryAfter):
            delay = error.seconds
        elif isinstance(error, (FINAL, self.never)) or not (
            wanted is Exception or _is_wanted(error, wanted)
        ):
            return None
        elif isinstance(wait, (int, float)):
            delay = wait
        else:
            delay = _seconds(wait, attempt, error, chance)
        is_too_late = self.timeout is not None and elapsed + delay > self.timeout
        return None if is_too_late else delay


def _is_wanted(error: BaseException, wanted: RetryOn) -> bool:
    if isinstance(wanted, (type, tuple)):
        return isinstance(error, wanted)
    return bool(_returned("retry_on", wanted(error)))


def _seconds(
    wait: Backoff | Callable[[int, BaseException], float],
    attempt: int,
    error: BaseException,
    chance: float,
) -> float:
    if isinstance(wait, Backoff):
        return wait.seconds(attempt, chance)
    seconds: float = _returned("retry_wait", wait(attempt, error))
    if not is_duration(seconds):
        raise ValueError(
            f"retry_wait returned {seconds!r} after attempt {attempt}; return a number of seconds, "
            f"0 or more, at most {MAX_SECONDS:,.0f}"
        )
    return seconds


def _returned(name: str, answer: Any) -> Any:
    """Return what a function of a policy returned, unless it has to be awaited."""
    if not isawaitable(answer):
        return answer
    if iscoroutine(answer):
        answer.close()  # or Python warns that it was never awaited
    raise TypeError(f"{name} returned an awaitable; give a function that is not async")


ONCE = RetryPolicy(attempts=1)
"""The policy of a single attempt."""


def failure_of(error: BaseException) -> BaseException:
    """Return the error of an item that fails with what an attempt raised."""
    # A subclass may set another cause, or none, if it does not call `super().__init__`.
    cause = getattr(error, "cause", None) if isinstance(error, GiveUp | RetryAfter) else None
    if not isinstance(cause, BaseException):
        return error
    if cause.__traceback__ is None:  # it was made, but never raised
        set_on(cause, "__traceback__", error.__traceback__)
    return cause


def checked_wait(wait: object) -> Wait | None:
    """Return a `retry_wait` as a policy takes it; None if it is invalid."""
    if isinstance(wait, Backoff) or is_duration(wait):
        return cast("Wait", wait)
    if not callable(wait) or isinstance(wait, type):
        return None
    is_strategy = any(
        kind.__name__ == "wait_base" and kind.__module__.startswith("tenacity")
        for kind in type(wait).__mro__
    )
    return _ask_strategy(wait) if is_strategy else wait


def _ask_strategy(strategy: Callable[[Any], float]) -> Callable[[int, BaseException], float]:
    """Return a function that asks a wait strategy of tenacity."""
    # It is installed, since the strategy is one of its own; antflow does not depend on it.
    tenacity = import_module("tenacity")
    retrying = tenacity.Retrying()

    def seconds(attempt: int, error: BaseException) -> float:
        state = tenacity.RetryCallState(retrying, None, (), {})
        state.attempt_number = attempt
        state.set_exception((type(error), error, error.__traceback__))
        return float(strategy(state))

    return seconds


def is_duration(value: object) -> bool:
    """Return whether a value is a number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= MAX_SECONDS  # false for NaN, too


def is_amount(value: object) -> bool:
    """Return whether a value is a number of units, such as calls or bytes, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= MAX_UNITS  # false for NaN, too


def is_count(value: object, least: int) -> bool:
    """Return whether a value is a whole number, and not below the least."""
    # Python counts True as 1, but `workers=True` is an argument in the wrong position.
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_other_number(value: object) -> bool:
    """Return whether a value is a number and neither an int nor a float, such as one of numpy."""
    return isinstance(value, Number) and not isinstance(value, int | float)


def is_positive(value: object) -> bool:
    """Return whether a value is a number above 0 by which seconds can be divided."""
    return isinstance(value, int | float) and is_duration(value) and value >= MIN_RATE
