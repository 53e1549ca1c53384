"""Keeps each input of a run until its result, or its failure, is in a file.

Whatever ends the run, the inputs that are still here are those to be reported as failures.
"""

from __future__ import annotations

from asyncio import Event
from collections import Counter, deque
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

from antflow import Item, PipelineResult, UnprocessedItem
from antflow.tally import FailureTally

from ._file_io import FileWriter
from ._records import (
    Describe,
    InputOutcome,
    Origin,
    UnwritableError,
    describe_text_line,
    encode_line,
    error_fields,
    failure_line,
)
from ._texts import shown

MAX_AHEAD = 10_000
"""Inputs that may be read after the first one without a result."""


class ReorderBuffer:
    """Holds results back until those of earlier inputs are there.

    Args:
        write: writes the line of an input.
    """

    def __init__(self, write: Callable[[bytes, int], None]) -> None:
        self._write = write
        self._expected: deque[int] = deque()
        self._lines: dict[int, bytes | None] = {}
        self._numbers: set[int] = set()
        self._changed = Event()

    @property
    def is_full(self) -> bool:
        """Whether to call `wait_for_room` before the next input is read."""
        return len(self._expected) >= MAX_AHEAD

    async def wait_for_room(self) -> None:
        """Wait until another input may be read."""
        while self.is_full:
            self._changed.clear()
            await self._changed.wait()

    def expect(self, number: int) -> None:
        """Append an input to the order."""
        self._expected.append(number)
        self._numbers.add(number)

    def put(self, number: int, line: bytes | None) -> bool:
        """Put the line of an input, None if it has none; return False if it is not expected."""
        if number not in self._numbers:
            return False
        self._lines[number] = line
        while self._expected and self._expected[0] in self._lines:
            self._release(self._expected.popleft())
            self._changed.set()
        return True

    def flush(self) -> None:
        """Write all lines that are held back; no more will be put."""
        for number in self._expected:
            if number in self._lines:
                self._release(number)
        self._expected.clear()

    def _release(self, number: int) -> None:
        self._numbers.discard(number)
        line = self._lines.pop(number)
        if line is not None:
            self._write(line, number)


class PendingInputs:
    """Writes a record for each input, and keeps the inputs whose record is not yet written.

    Args:
        describe: returns the fields of a failure's record that describe the input.
        record: returns the record of a result.
        ordered: whether results are written in the order of the inputs.
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
        self.output: FileWriter
        self.failures: FileWriter | None = None
        self.outcomes: Counter[InputOutcome] = Counter()
        self.tally = tally or FailureTally()
        self.read_count = 0
        self._describe = describe
        self._record = record
        self._origins: dict[int, Origin] = {}
        self._finished: set[int] = set()
        self._reported: set[int] = set()
        self._closing = Lock()
        self._is_closed = False
        self._reorder = ReorderBuffer(self._write_result) if ordered else None

    # Inputs

    @property
    def is_full(self) -> bool:
        """Whether to call `wait_for_room` before the next input is read."""
        is_ahead = self._reorder is not None and self._reorder.is_full
        return is_ahead or (self.failures is not None and self.failures.is_full)

    async def wait_for_room(self) -> None:
        """Wait until another input may be read."""
        while self.is_full:
            if self.failures is not None:
                await self.failures.wait_for_room()
            if self._reorder is not None:
                await self._reorder.wait_for_room()

    def add(self, number: int, position: int, value: Any) -> None:
        """Add an input before its item is fed.

        Args:
            number: the `sequence_id` that its item will get.
            position: its place in the input, from 1.
            value: its line, or the item itself.
        """
        self.read_count += 1
        self._origins[number] = position, value
        if self._reorder is not None:
            self._reorder.expect(number)

    def reject(self, position: int, line: bytes, error: Exception) -> None:
        """Write the failure of a line that cannot be parsed.

        Args:
            position: its number, from 1.
            line: its content.
            error: the reason.
        """
        self.read_count += 1
        number = -position  # it has no item, whose numbers begin with 0
        self._origins[number] = origin = position, line
        self._write_failure("malformed", number, describe_text_line(origin), {}, error)

    # Outcomes

    def finish(self, result: PipelineResult) -> None:
        """Write the record of a result or a failure."""
        number = result.sequence_id
        if result.error is None:
            try:
                line = encode_line(self._record(result))
            except UnwritableError as error:
                self._finish_failed(result, error)
                return
            # A pipeline may feed itself; such items are in no order.
            if self._reorder is None or not self._reorder.put(number, line):
                self._write_result(line, number)
        else:
            self._finish_failed(result, result.error, stage=result.stage, attempts=result.attempts)

    def _finish_failed(self, result: PipelineResult, error: BaseException, **about: Any) -> None:
        number = result.sequence_id
        described = self._describe_input(number, result.value)
        location = result.location if error is result.error else None
        about = {"id": result.id, **about}
        self._write_failure("failed", number, described, about, error, location)
        if self._reorder is not None:
            self._reorder.put(number, None)

    def _write_result(self, line: bytes, number: int) -> None:
        self._finished.add(number)
        self.output.add(line, number)

    def _write_failure(
        self,
        outcome: InputOutcome,
        number: int,
        described: dict[str, Any],
        about: dict[str, Any],
        error: BaseException | None = None,
        location: str | None = None,
    ) -> None:
        if error is not None:
            self.tally.add_error(
                error,
                _label(described, about),
                stage=about.get("stage"),
                attempts=about.get("attempts", 1),
                location=location,
            )
            about = {**about, **error_fields(error, location)}
        line = failure_line(outcome, described, **about)
        self.outcomes[outcome] += 1
        self._reported.add(number)
        if self.failures is not None:
            self.failures.add(line, number)
        elif outcome in {"failed", "malformed"}:  # the report counts them
            self.remove([number])

    def _describe_input(self, number: int, value: Any) -> dict[str, Any]:
        origin = self._origins.get(number)
        return {"input": value} if origin is None else self._describe(origin)

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove inputs whose records are written."""
        for number in numbers:
            self._origins.pop(number, None)
            self._finished.discard(number)
            self._reported.discard(number)

    # The end of the run

    def flush(self) -> None:
        """Write results that are held back for earlier ones, which may never come."""
        if self._reorder is not None:
            self._reorder.flush()

    def close(self, unprocessed: Iterable[UnprocessedItem]) -> None:
        """Write the failures of all inputs that are still pending; do nothing the second time.

        Args:
            unprocessed: the items that the pipeline has not processed.
        """
        # The thread of the signals may end the process while the run is just ending.
        with self._closing:
            if not self._is_closed:
                self._write_remaining(unprocessed)
            self._is_closed = True

    def _write_remaining(self, unprocessed: Iterable[UnprocessedItem]) -> None:
        for item in unprocessed:
            described = self._describe_input(item.sequence_id, item.value)
            about = {"id": item.id, "stage": item.stage}
            self._write_failure("unprocessed", item.sequence_id, described, about)
        for number in sorted({*self._origins, *self._finished} - self._reported):
            outcome: InputOutcome = "unwritten" if number in self._finished else "unprocessed"
            described = self._describe_input(number, None)
            about = {"id": _id_of(described["input"], number)}
            self._write_failure(outcome, number, described, about)

    def missing(self) -> tuple[list[int], int]:
        """Return which inputs are in no file: their positions, and how many have no position."""
        positions = sorted(position for position, _ in self._origins.values())
        return positions, len({*self._finished, *self._reported} - self._origins.keys())


def _id_of(value: Any, number: int) -> Any:
    """Return the id of the item that a value is, or becomes if it is fed."""
    if isinstance(value, UnprocessedItem | PipelineResult):
        return value.id
    if isinstance(value, Item):
        return number if value.id is None else value.id
    return value.get("id", number) if isinstance(value, dict) else number


def _label(described: dict[str, Any], about: dict[str, Any]) -> str:
    """Return the name of an input in the report: its line, or the id of its item."""
    return f"line {described['line']}" if "line" in described else f"item {shown(about.get('id'))}"
