"""What tests of the command's rooms share."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

from antflow import PipelineResult
from antflow._cli.pending_inputs import Ledger
from antflow._cli.records import of_json_line, result_record


class Full(io.StringIO):
    """A standard error that takes nothing until it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = threading.Event()

    def write(self, text: str, /) -> int:
        self.is_read.wait()
        return super().write(text)


class Paper:
    """Stands for a sink: it holds lines, and writes them when it is told to."""

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

    async def room(self) -> None:
        self.is_full = False

    @property
    def records(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]


def make_ledger(*, ordered: bool = False, failures: bool = True) -> tuple[Ledger, Paper, Paper]:
    """Return a ledger of lines of JSON, its output and its failures."""
    ledger = Ledger(of_json_line, result_record, ordered=ordered)
    output, failed = Paper(), Paper()
    ledger.output = output  # type: ignore[assignment]
    ledger.failures = failed if failures else None  # type: ignore[assignment]
    return ledger, output, failed


def succeeded(number: int, value: Any = None) -> PipelineResult:
    return PipelineResult(number, value, number)


def failed(number: int, error: Exception, stage: str = "Work") -> PipelineResult:
    return PipelineResult(number, None, number, error=error, stage=stage)
