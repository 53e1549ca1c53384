"""Counts the failures of one run, warns of them, and stops the run at `max_failures`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from antflow._engine.base.run_state import RunState
from antflow._engine.channels.result_queue import ResultQueue
from antflow._stats.failure_tally import (
    MIN_ITEMS_FOR_SHARE,
    FailureTally,
    exceeds,
    too_many_failures,
)
from antflow.results import FailedItem, PipelineResult

from .stage_runtime import StageRuntime, unprocessed_items

_logger = logging.getLogger("antflow")


class Failures:
    """Counts the failed items of one run, warns of them, and stops the run at `max_failures`.

    `all` counts every failure; `kept` those that are in `pipeline.failures`.

    Args:
        run: the state of the run.
        stages: of the run.
        results: where the items go.
        limit: how many items may fail, as `Pipeline` takes it.
    """

    def __init__(
        self,
        run: RunState,
        stages: Sequence[StageRuntime],
        results: ResultQueue,
        limit: float | None,
    ) -> None:
        self.all = FailureTally()
        self.kept = FailureTally()
        self.is_exceeded = False
        self.warns = True
        self._run = run
        self._stages = stages
        self._results = results
        self._limit = limit

    def add(self, item: PipelineResult, failed: FailedItem) -> None:
        """Deposit an item that has failed, and close the run if that is one too many."""
        results = self._results
        results.failed_items.append(failed)
        self.all.add(item, failed.attempts)
        if not (results.streamed or results.goes_to_handle(item)):
            self.kept.add(item, failed.attempts)
        results.put(item)
        if self._limit is not None:
            self.check()

    def keep(self, result: PipelineResult) -> None:
        """Keep the result of an item whose caller did not take it."""
        if result.error is not None:
            self.kept.add(result, result.attempts)
        self._results.put(result)

    def check(self, *, at_end: bool = False) -> None:
        """Close the run if more items failed than are allowed."""
        if self._limit is None or self.is_exceeded:
            return
        failed = sum(stage.counters.failed for stage in self._stages)
        if not at_end and not exceeds(self._limit, failed, MIN_ITEMS_FOR_SHARE):
            # More successes make the share smaller: the workers need not be summed.
            self._watch_successes(failed < MIN_ITEMS_FOR_SHARE)
            return
        ended = failed + self._run.succeeded_items
        self.is_exceeded = exceeds(self._limit, failed, ended, at_end=at_end)
        self._watch_successes(ended < MIN_ITEMS_FOR_SHARE and not self.is_exceeded)
        if self.is_exceeded:
            self._run.returns_unprocessed = True  # in the error
            self._run.close()

    def _watch_successes(self, is_early: bool) -> None:
        """Check after each success while one can be the item with which a share counts."""
        watches = is_early and isinstance(self._limit, float) and not self._run.is_closed
        self._results.call_after_each(self.check if watches else None)

    def summary(self, tally: FailureTally) -> str:
        """Return one line about the items that failed."""
        return tally.summary(self._run.fed_items, self._run.name)

    def warn(self) -> None:
        """Log one warning about the failures, unless the caller receives them anyway."""
        if self.kept.total and self.warns:
            summary, advice = self.summary(self.kept), self.kept.advice()
            _logger.warning("%s; see pipeline.failures%s", summary, advice)

    def raise_exceeded(self, addition: str = "") -> None:
        """Raise TooManyFailuresError if the limit was exceeded.

        Args:
            addition: ends the text.
        """
        if self.is_exceeded:
            raise too_many_failures(
                self._limit,
                self.summary(self.all),
                results=self._results.kept(),
                failures=self._results.kept_failures(),
                unprocessed=unprocessed_items(self._stages),
                addition=addition,
            )
