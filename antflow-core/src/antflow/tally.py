"""`FailureTally`, which sums up failures by stage and type of error."""

from __future__ import annotations

from ._stats.failure_tally import FailureTally

__all__ = ["FailureTally"]
