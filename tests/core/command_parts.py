"""Helpers of the tests of the command."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

from antflow import PipelineResult
from antflow._cli.pending_inputs import PendingInputs
from antflow._cli.records import describe_json_line, result_record


class BlockedStream(io.StringIO):
    """A standard error that accepts nothing until it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = threading.Event()

    def write(self, text: str, /) -> int:
        self.is_read.wait()
        return super().write(text)


class FakeWriter:
    """Stands for a FileWriter: it keeps the lines in memory."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.numbers: list[int] = []
        self.error: OSError | None = None
        self.is_full = False
        self.is_writing = False

    def add(self, line: bytes, number: int) -> None:
        if self.error is None:
            self.lines.append(line)
            self.numbers.append(number)

    async def wait_for_room(self) -> None:
        self.is_full = False

    @property
    def records(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]


def make_pending(
    *, ordered: bool = False, failures: bool = True
) -> tuple[PendingInputs, FakeWriter, FakeWriter]:
    """Return pending inputs of lines of JSON, with their output and failures."""
    pending = PendingInputs(describe_json_line, result_record, ordered=ordered)
    output, failed = FakeWriter(), FakeWriter()
    pending.output = output  # type: ignore[assignment]
    pending.failures = failed if failures else None  # type: ignore[assignment]
    return pending, output, failed


def succeeded(number: int, value: Any = None) -> PipelineResult:
    return PipelineResult(number, value, number)


def failed(number: int, error: Exception, stage: str = "Work") -> PipelineResult:
    return PipelineResult(number, None, number, error=error, stage=stage)
