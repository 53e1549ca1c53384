"""Run these with the plugin installed: `pip install . pytest && pytest`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from antflow import Pipeline, Stage
from antflow_journal import Journal


async def parse(text: str) -> int:
    return int(text)


def lines_of(path: Path, item: int | None = None) -> list[str]:
    """Return what a journal says, of one item if that is given."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["what"] for line in lines if item is None or line.get("item") == item]


def test_everything_that_happens_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    stage = Stage("Parse", 1, [parse], task_attempts=2, task_wait_seconds=0)
    pipeline = Pipeline([stage], plugins=[Journal(path)], autoload=False)
    asyncio.run(pipeline.run(["1", "two"]))
    assert [lines_of(path)[0], lines_of(path)[-1]] == ["run", "end"]
    begin = ["enters", "queued", "in_progress", "start"]
    assert lines_of(path, 0) == [*begin, "complete", "completed", "leaves"]
    assert lines_of(path, 1) == [*begin, "retry", "start", "fail", "failed", "leaves"]
    assert not pipeline.plugin_faults


def test_an_installed_journal_writes_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    monkeypatch.setenv("ANTFLOW_JOURNAL", str(path))
    asyncio.run(Pipeline([Stage("Parse", 1, [parse])]).run(["1"]))
    assert lines_of(path)[-1] == "end"


def test_the_display_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(Pipeline([Stage("Parse", 1, [parse])]).run(["1", "2"], dashboard="lines"))
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "2 of 2, 0 failed",
        "No errors occurred",
    ]
