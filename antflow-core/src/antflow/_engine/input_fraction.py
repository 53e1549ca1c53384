"""The share of an input that has been read, where the input says it."""

from __future__ import annotations

import logging
from math import isnan
from typing import Any

from antflow._errors.safe_logging import log_error

_logger = logging.getLogger(__name__)


class InputFraction:
    """Returns the share of an input that has been read, from 0 to 1; None if it is unknown.

    Args:
        source: an input that may have a method `fraction_read()`.
    """

    def __init__(self, source: object = None) -> None:
        try:
            method = getattr(source, "fraction_read", None)
        except Exception:  # an object that makes its attributes may raise anything
            method = None
        self._fraction_read: Any = method if callable(method) else None

    def __call__(self) -> float | None:
        """Return the share; may be called from any thread."""
        if self._fraction_read is None:
            return None
        try:
            fraction = self._fraction_read()
            return None if fraction is None else _between_0_and_1(fraction)
        except Exception as error:
            self._fraction_read = None  # or each update of a dashboard would log it again
            log_error(
                _logger,
                error,
                "fraction_read() of the input raised; it is not called again, and the run goes on.",
            )
            return None


def _between_0_and_1(fraction: Any) -> float | None:
    share = float(fraction)
    return None if isnan(share) else min(1.0, max(0.0, share))
