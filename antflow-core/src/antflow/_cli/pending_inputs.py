"""The inputs of a run: each is in the ledger until what became of it has been written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

from antflow._errors.texts import shown
from antflow._stats.failure_tally import FailureTally
from antflow.results import PipelineResult, UnprocessedItem

from .file_writer import Sink
from .order import Order
from .records import (
    Describe,
    Fate,
    Origin,
    UnwritableError,
    about_error,
    as_line,
    failure_line,
    of_text_line,
)

NO_NUMBER = -1
"""The number of what is about no input of ours: the pipeline has fed it to itself."""


class Ledger:
    """Writes what becomes of each input, and knows of which that has not been written.

    Args:
        describe: returns what is written of an input.
        record: returns what is written of a result.
        ordered: write results in the order of the inputs.
        tally: counts the failures.
    """

    def __init__(
        self,
        describe: Describe,
        record: Callable[[PipelineResult], object],
        *,
        ordered: bool,
        tally: FailureTally | None = None,
    ) -> None:
        self.output: Sink
        self.failures: Sink | None = None
        self.fates: Counter[Fate] = Counter()
        self.tally = tally or FailureTally()
        self.read = 0
        self._describe = describe
        self._record = record
        self._open: dict[int, Origin] = {}
        self._finished: set[int] = set()
        self._closing = Lock()
        self._is_closed = False
        self._order = Order(self._write) if ordered else None

    # Inputs

    @property
    def is_full(self) -> bool:
        """Whether to wait for room before the next input is read."""
        is_ahead = self._order is not None and self._order.is_full
        return is_ahead or (self.failures is not None and self.failures.is_full)

    async def room(self) -> None:
        """Wait until there is room for another input."""
        while self.is_full:
            if self.failures is not None:
                await self.failures.room()
            if self._order is not None:
                await self._order.room()

    def enter(self, number: int, position: int, value: Any) -> None:
        """Take note of an input, before its item is fed.

        Args:
            number: its item's `sequence_id`.
            position: its place in the input, from 1.
            value: what was read.
        """
        self.read += 1
        self._open[number] = position, value
        if self._order is not None:
            self._order.expect(number)

    def refuse(self, line: int, raw: bytes, error: Exception) -> None:
        """Take note of a line that is not an item.

        Args:
            line: its number, from 1.
            raw: what was read.
            error: the reason.
        """
        self.read += 1
        self._fail("malformed", NO_NUMBER, of_text_line((line, raw)), {}, error)

    # What becomes of them

    def end(self, result: PipelineResult) -> None:
        """Write a result, or why there is none."""
        number = result.sequence_id
        if result.error is None:
            try:
                line = as_line(self._record(result))
            except UnwritableError as error:
                self._end_failed(result, error)
                return
            if self._order is None or not self._order.end(number, line):
                self._write(line, number)
        else:
            self._end_failed(result, result.error, stage=result.stage, attempts=result.attempts)

    def _end_failed(self, result: PipelineResult, error: BaseException, **about: Any) -> None:
        number = result.sequence_id
        described = self._about(number, result.value)
        location = result.location if error is result.error else None
        self._fail("failed", number, described, {"id": result.id, **about}, error, location)
        if self._order is not None:
            self._order.end(number, None)

    def _write(self, line: bytes, number: int) -> None:
        self._finished.add(number)
        self.output.add(line, number)

    def _fail(
        self,
        fate: Fate,
        number: int,
        described: dict[str, Any],
        about: dict[str, Any],
        error: BaseException | None = None,
        location: str | None = None,
    ) -> None:
        if error is not None:
            self.tally.add_input(
                error,
                _name_of(described, about),
                stage=about.get("stage"),
                attempts=about.get("attempts", 1),
                location=location,
            )
            about = {**about, **about_error(error, location)}
        line = failure_line(fate, described, **about)
        self.forget([number])
        self.fates[fate] += 1
        if self.failures is not None:
            self.failures.add(line, NO_NUMBER)

    def _about(self, number: int, value: Any) -> dict[str, Any]:
        origin = self._open.get(number)
        return {"input": value} if origin is None else self._describe(origin)

    def forget(self, numbers: Iterable[int]) -> None:
        """Strike out what has been written."""
        strike_out, discard = self._open.pop, self._finished.discard
        for number in numbers:
            strike_out(number, None)
            discard(number)

    # The end

    def release(self) -> None:
        """Write the results that are kept back for one before them, which may not come."""
        if self._order is not None:
            self._order.release()

    def close(self, left: Iterable[UnprocessedItem]) -> None:
        """Write of all that is still in the ledger that it is; a second time, do nothing.

        The process may be told to leave at once, by another thread, when the run is just ending.

        Args:
            left: what the pipeline says that it has not processed.
        """
        with self._closing:
            if not self._is_closed:
                self._write_left(left)
            self._is_closed = True

    def _write_left(self, left: Iterable[UnprocessedItem]) -> None:
        for item in left:
            described = self._about(item.sequence_id, item.value)
            about = {"id": item.id, "stage": item.stage}
            self._fail("unprocessed", item.sequence_id, described, about)
        for number in sorted({*self._open, *self._finished}):
            fate: Fate = "unwritten" if number in self._finished else "unprocessed"
            self._fail(fate, number, self._about(number, None), {})


def _name_of(described: dict[str, Any], about: dict[str, Any]) -> str:
    """Return what an input is called: its line, or the id of its item."""
    return f"line {described['line']}" if "line" in described else f"item {shown(about.get('id'))}"
