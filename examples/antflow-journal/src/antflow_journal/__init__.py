"""Writes what happens in antflow pipelines to a file, one JSON object a line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from antflow import (
    DashboardProtocol,
    DashboardSnapshot,
    ErrorSummary,
    Pipeline,
    PipelineResult,
    PluginError,
    StatusEvent,
    TaskEvent,
    hookimpl,
)

__all__ = ["Journal"]


class Journal:
    """The plugin: it looks for a file to write to when a run starts.

    Args:
        path: the file, which is added to; None for the one that ANTFLOW_JOURNAL names, if any.
    """

    antflow_name = "journal"
    antflow_dashboards = ("lines",)

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = path

    @hookimpl
    def antflow_add_options(self, parser: argparse.ArgumentParser) -> None:
        """Let `antflow run` name the file."""
        parser.add_argument("--journal", metavar="FILE", help="write what happens to this file")

    @hookimpl
    def antflow_configure(self, options: argparse.Namespace) -> None:
        """Write to the file that `antflow run` was given."""
        self._path = options.journal or self._path

    @hookimpl
    def antflow_dashboard(self, name: str) -> DashboardProtocol | None:
        """Return the display of plain lines."""
        return Lines() if name == "lines" else None

    @hookimpl
    def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> object:
        """Return what writes the journal of one run, so that no other run pays for it.

        Raises:
            PluginError: the journal cannot be written; the run ends before its first item.
        """
        path = self._path or os.environ.get("ANTFLOW_JOURNAL")
        try:
            return JournalOfRun(Path(path), pipeline.name, total_items) if path else None
        except OSError as error:
            raise PluginError(
                f"the journal {str(path)!r} cannot be written: {error.strerror}; name another file"
            ) from error


class JournalOfRun:
    """Writes the journal of one run."""

    def __init__(self, path: Path, pipeline: str, total_items: int | None) -> None:
        self._pipeline = pipeline
        self._file = path.open("a", encoding="utf-8")
        self._write("run", items=total_items)

    @hookimpl
    def antflow_item_start(self, event: StatusEvent) -> None:
        """Write that an item enters the run."""
        self._write("enters", item=event.item_id)

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        """Write that an item has changed its status."""
        self._write(event.status, item=event.item_id, stage=event.stage, final=event.final)

    @hookimpl
    def antflow_item_finish(self, event: StatusEvent) -> None:
        """Write that an item has ended."""
        self._write("leaves", item=event.item_id)

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        """Write that an attempt begins."""
        self._write_attempt(event)

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        """Write that it has returned."""
        self._write_attempt(event)

    @hookimpl
    def antflow_task_retry(self, event: TaskEvent) -> None:
        """Write that it has failed and another follows."""
        self._write_attempt(event)

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        """Write that it has failed and none follows."""
        self._write_attempt(event)

    @hookimpl
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        """Write that it was cancelled."""
        self._write_attempt(event)

    @hookimpl
    def antflow_pipeline_finish(self, error_summary: ErrorSummary) -> None:
        """Write that the run has ended, and close the file."""
        self._write("end", failed=error_summary.total_failed)
        self._file.close()

    def _write_attempt(self, event: TaskEvent) -> None:
        self._write(
            event.event_type,
            item=event.item_id,
            stage=event.stage,
            task=event.task_name,
            attempt=event.attempt,
            error=None if event.error is None else repr(event.error),
        )

    def _write(self, what: str, **about: Any) -> None:
        line = {"pipeline": self._pipeline, "what": what, **about}
        self._file.write(json.dumps(line, default=str) + "\n")


class Lines:
    """A display: one line an update, on standard error."""

    def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
        """Say what is about to be done."""
        self._total = "?" if total_items is None else str(total_items)

    def on_update(self, snapshot: DashboardSnapshot) -> None:
        """Say how far it is."""
        stats = snapshot.pipeline_stats
        done = stats.items_processed + stats.items_failed
        print(f"{done} of {self._total}, {stats.items_failed} failed", file=sys.stderr)

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
        """Say what failed."""
        print(summary, file=sys.stderr)
