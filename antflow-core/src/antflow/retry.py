"""The retry policy: how often a failed attempt is repeated, and after how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed attempt is repeated, and after how long.

    Args:
        attempts: the most attempts that are made, the first included.
        wait_seconds: seconds between the end of one attempt and the start of the next.
        never: types of errors after which no other attempt is made.
    """

    # Data and a pure function: it neither waits nor reads a clock. The channel parks the item.

    attempts: int
    wait_seconds: float = 0.0
    never: tuple[type[BaseException], ...] = ()

    def delay(self, attempt: int, error: BaseException) -> float | None:
        """Return the seconds until the next attempt, or None if the item fails.

        Args:
            attempt: number of the attempt that failed, from 1.
            error: the error of that attempt.
        """
        # KeyboardInterrupt, CancelledError and the like ask for an end, not for a repetition.
        if attempt >= self.attempts or not isinstance(error, Exception):
            return None
        if isinstance(error, self.never):
            return None
        return self.wait_seconds


ONCE = RetryPolicy(attempts=1)
"""The policy of a single attempt."""
