"""A number of attempts at once that follows what the called service can take."""

from __future__ import annotations


class AdaptiveConcurrency:
    """Grows with successes, and halves when the service is overloaded.

    Additive increase and multiplicative decrease, as in TCP (Chiu and Jain, 1989): it grows by one
    after as many successes as it allows attempts.

    Args:
        minimum: attempts at once that are allowed at first, and at least.
        maximum: the most that are allowed.
    """

    __slots__ = ("_has_started", "_maximum", "_minimum", "_successes", "allowed", "generation")

    def __init__(self, minimum: int, maximum: int) -> None:
        self._minimum, self._maximum = minimum, maximum
        self._successes = 0
        self._has_started = False  # an attempt, in the present generation
        self.allowed = minimum
        self.generation = 0

    def start(self) -> int:
        """Note that an attempt starts, and return its generation."""
        self._has_started = True
        return self.generation

    def succeed(self) -> None:
        """Note that an attempt succeeded."""
        self._successes += 1
        if self._successes >= self.allowed:
            self._successes = 0
            self.allowed = min(self.allowed + 1, self._maximum)

    def overload(self, generation: int | None = None) -> None:
        """Halve what is allowed, once for all attempts that have started since the last time.

        Args:
            generation: of the attempt that found the service overloaded; None if none did.
        """
        # Attempts of one moment meet the same overload: halving for each would stop nearly all.
        is_present = self._has_started if generation is None else generation == self.generation
        if is_present:
            self.allowed = max(self.allowed // 2, self._minimum)
            self.generation += 1
            self._has_started = False
            self._successes = 0
