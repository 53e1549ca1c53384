"""When to try again: policy as data, and one pure decision."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed attempt is followed by another, and after how long.

    Args:
        attempts: the most attempts that are made, the first included.
        wait_seconds: seconds between the end of one attempt and the start of the next.
        never: types of errors that are not followed by another attempt.
    """

    attempts: int
    wait_seconds: float = 0.0
    never: tuple[type[BaseException], ...] = ()

    def delay(self, attempt: int, error: BaseException) -> float | None:
        """Decide what follows a failed attempt.

        Args:
            attempt: number of the attempt that failed, from 1.
            error: what it raised; anything but an Exception is never tried again.

        Returns:
            Seconds to wait before the next attempt, or None to stop.
        """
        if attempt >= self.attempts or not isinstance(error, Exception):
            return None
        if isinstance(error, self.never):
            return None
        return self.wait_seconds


ONCE = RetryPolicy(attempts=1)
"""A single attempt."""
