"""Where items end: kept, handed to who waits for one, or streamed."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable
from math import inf
from operator import attrgetter
from typing import cast

from ._channel import Channel
from ._failures import FailureTally
from ._item import ItemRecord, as_result, as_results
from .types import FailedItem, PipelineResult

MOST_KEPT_FAILURES = 10_000


class Results(Channel):
    """The channel behind the last stage, in order of completion.

    Successes are its queue. Failures are kept beside it or, where results are `streamed`, in it.
    An item that someone waits for goes to that one and is kept nowhere. The `tally` is of
    all failures, `kept_tally` of those that are kept for the caller of `run` or `join`. While
    `watch` is set, it is called after each item.

    Args:
        stage: name of the last stage.
        keep: whether successes are kept.
        most_failures: how many failures are kept, the latest; None for all. Of a stream, whose
            consumer gets the failures, so many are kept for error summaries.
    """

    __slots__ = (
        "_awaited",
        "failed_items",
        "failures",
        "kept_tally",
        "stage",
        "streamed",
        "tally",
        "watch",
    )

    def __init__(self, stage: str, *, keep: bool, most_failures: int | None = None) -> None:
        super().__init__(inf)
        self.watch: Callable[[], None] | None = None
        self.stage = stage
        self.tally = FailureTally()
        self.kept_tally = FailureTally()
        self.failures: deque[ItemRecord] = deque(maxlen=most_failures)
        self.failed_items: deque[FailedItem] = deque(maxlen=most_failures)
        self.streamed = False
        self._awaited = 0
        if not keep:
            self.queue = deque(maxlen=0)

    @classmethod
    def for_stream(cls, stage: str, buffer_size: float) -> Results:
        """Return one whose results, failures too, are taken away by a consumer.

        Args:
            stage: name of the last stage.
            buffer_size: results that may wait for the consumer.
        """
        results = cls(stage, keep=True, most_failures=MOST_KEPT_FAILURES)
        results.streamed = True
        results.capacity = buffer_size
        return results

    def put(self, item: ItemRecord) -> None:
        """Deposit an item that has ended."""
        if self._awaited and self._answer(item):
            if self.watch is not None:
                self.watch()
            return
        if self.streamed or item.error is None:
            self.queue.append(item)
        else:
            self.failures.append(item)
        if self._hungry:
            self._call()

    def fail(self, item: ItemRecord, failed: FailedItem) -> None:
        """Deposit an item that has failed, and what summaries say of it."""
        self.failed_items.append(failed)
        self.tally.add(item, failed.attempts)
        if not self.streamed and self._reply(item) is None:
            self.kept_tally.add(item, failed.attempts)
        self.put(item)

    def keep(self, result: PipelineResult) -> None:
        """Keep the result of an item whose caller did not come to take it."""
        if result.error is not None:
            self.kept_tally.add(result, result.attempts)
        self.put(cast("ItemRecord", result))

    def watch_each(self, watch: Callable[[], None] | None) -> None:
        """Have a function called after each item from now on, or none any more."""
        self.watch = watch
        self._look_ahead()

    def expect(self) -> None:
        """Look out for one more item that someone waits for."""
        self._awaited += 1
        self._look_ahead()

    def expect_no_more(self) -> None:
        """Look out for one item less."""
        self._awaited -= 1
        self._look_ahead()

    def unbound(self) -> None:
        """Let every sender go on, the run being about to stop."""
        self.capacity = inf
        self.make_room()

    def kept(self) -> list[PipelineResult]:
        """Return the successes that are kept, in input order."""
        return [] if self.streamed else self._in_input_order(self.queue)

    def kept_failures(self) -> list[PipelineResult]:
        """Return the failures that are kept, in input order."""
        return self._in_input_order(self.failures)

    def undelivered(self) -> list[PipelineResult]:
        """Return what the consumer of a stream that has ended did not take."""
        if not (self.streamed and self.closed):
            return []
        return as_results(list(self.queue), self.stage)

    def _in_input_order(self, items: deque[ItemRecord]) -> list[PipelineResult]:
        in_order = sorted(items, key=attrgetter("sequence_id"))
        return as_results(in_order, self.stage)

    def _look_ahead(self) -> None:
        super()._look_ahead()
        self._hungry = self._hungry or self.watch is not None
        self.direct = self.direct and not self._awaited and self.watch is None

    def _call(self) -> None:
        super()._call()
        if self.watch is not None:
            self.watch()

    def _answer(self, item: ItemRecord) -> bool:
        reply = self._reply(item)
        if reply is None:
            return False
        reply.set_result(as_result(item, self.stage))
        return True

    def _reply(self, item: ItemRecord) -> Future[PipelineResult] | None:
        """Return what a caller of `process` still waits for, if this is its item."""
        reply = item.extra.reply if item.extra else None
        return None if reply is None or reply.done() else reply

    def _set_aside(self) -> None:
        """Leave everything where it is: what has ended is never left over."""
