"""One run of the command, on the loop of a test."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from antflow import Pipeline, Stage, UnprocessedItem, hookimpl
from antflow._cli import execution as running
from antflow._cli import signals
from antflow._cli.execution import Execution, OpenFiles
from tests.core.command_parts import BlockedStream


class Folder:
    """A run whose files are in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.execution: Execution

    def options(self, **others: Any) -> Namespace:
        usual = {"lines": False, "values": False, "ordered": False, "summary": False}
        usual["traceback"] = False
        files = {"output": "out", "failures": "failures"}
        return Namespace(**{"dashboard": None, "drain_seconds": 60.0, **usual, **files, **others})

    async def run(
        self,
        task: Callable[[Any], Any],
        items: Any,
        plugins: Any = (),
        *,
        is_process: bool = True,
        **others: Any,
    ) -> int:
        out, failures = (self.open(name) for name in ("out", "failures"))
        stages = [Stage("Work", 2, [task], task_attempts=1)]
        pipeline = Pipeline(stages, plugins=plugins, autoload=False)
        files = OpenFiles(None, items, out, failures)
        options = self.options(**others)
        self.execution = Execution(pipeline, options, files, is_process=is_process)
        return await self.execution.run()

    def open(self, name: str) -> int:
        return os.open(self.path / name, os.O_WRONLY | os.O_CREAT)

    def records(self, name: str) -> list[Any]:
        text = (self.path / name).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def double(number: int) -> int:
    return 2 * number


async def test_results_are_written_as_another_pipeline_reads_them(folder: Folder) -> None:
    items = [{"id": "a", "value": 1, "kind": "b"}, 2]
    assert await folder.run(double, items, ordered=True) == 0
    assert folder.records("out") == [
        {"id": "a", "value": 2, "kind": "b"},
        {"id": 1, "value": 4},
    ]
    assert folder.records("failures") == []


async def test_plugins_and_displays_get_the_number_of_items(folder: Folder) -> None:
    totals: list[int | None] = []

    class Observing:
        @hookimpl
        def antflow_pipeline_start(self, total_items: int | None) -> None:
            totals.append(total_items)

    assert await folder.run(double, [1], [Observing()]) == 0
    assert await folder.run(double, iter([1]), [Observing()]) == 0
    assert totals == [1, None]


class PanicError(BaseException):
    """As an extension raises it."""


@pytest.mark.parametrize(
    ("kind", "is_raised_by_a_task"),
    [
        (SystemExit, True),
        (PanicError, True),
        (GeneratorExit, True),
        (SystemExit, False),
        (PanicError, False),
    ],
)
async def test_every_input_has_a_record_whatever_ends_the_run(
    folder: Folder,
    capsys: pytest.CaptureFixture[str],
    kind: type[BaseException],
    is_raised_by_a_task: bool,
) -> None:
    error = kind(9)

    async def work(number: int) -> int:
        if number == 3:
            raise error
        return number

    def items() -> Iterator[int]:
        yield from (0, 1, 2)
        raise error

    assert await folder.run(work, range(100) if is_raised_by_a_task else items()) == 1
    what = "the run ended" if is_raised_by_a_task else "the input cannot be read past item 3"
    assert f"antflow run: {what}: {kind.__name__}: 9" in capsys.readouterr().err
    read = folder.execution._input.position
    done = len(folder.records("out")) + len(folder.records("failures"))
    assert 3 <= read == done


async def test_old_items_among_new_ones_are_distinguished(folder: Folder) -> None:
    begun = asyncio.Event()

    async def work(text: str) -> str:
        begun.set()
        return await asyncio.Future()

    old = [UnprocessedItem(f"old {n}", f"old {n}", {}, 100, "Work", n) for n in range(3)]
    executing = asyncio.create_task(folder.run(work, ["new 1", "new 2", *old, "new 3"]))
    await begun.wait()
    folder.execution._stop()
    assert await executing == 1
    left = {record["item"]: record["input"] for record in folder.records("failures")}
    assert left[1] == "new 1"
    assert left[3]["value"] == "old 0"
    assert sorted(left) == list(range(1, folder.execution._input.position + 1))


async def test_an_output_that_fails_stops_the_run(folder: Folder) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    folder.open = lambda name: writer if name == "out" else Folder.open(folder, name)  # type: ignore[method-assign]

    async def endless() -> Any:
        number = 0
        while True:
            yield (number := number + 1)

    assert await folder.run(double, endless()) == 141
    items = sorted(record["item"] for record in folder.records("failures"))
    assert items == list(range(1, folder.execution._input.position + 1))
    assert "unwritten" in {record["status"] for record in folder.records("failures")}


async def test_exit_now_writes_all_records_and_ends_the_process(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    stuck = asyncio.Event()

    async def work(number: int) -> int:
        if number == 0:
            return number
        stuck.set()
        return await asyncio.Future()

    executing = asyncio.create_task(folder.run(work, range(3), ordered=True))
    await stuck.wait()
    while not folder.execution._pending._finished and not folder.records("out"):
        await asyncio.sleep(0)
    folder.execution._exit_now()
    assert codes == [1]
    assert [record["id"] for record in folder.records("out")] == [0]
    assert [record["item"] for record in folder.records("failures")] == [2, 3]
    assert "tasks that ignored their cancellation were left behind" in capsys.readouterr().err
    executing.cancel()
    await asyncio.wait([executing])


async def test_exit_now_does_not_wait_for_standard_error(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(running, "GRACE_SECONDS", 0)
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0)
    begun = asyncio.Event()

    async def work(number: int) -> int:
        begun.set()
        return await asyncio.Future()

    executing = asyncio.create_task(folder.run(work, range(2)))
    await begun.wait()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", file := BlockedStream())
        folder.execution._exit_now()
        assert codes == [1]
        file.is_read.set()
    executing.cancel()
    await asyncio.wait([executing])


async def test_exit_now_does_not_end_a_process_that_is_not_the_commands(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)

    async def work(number: int) -> int:
        folder.execution._exit_now()
        return number

    assert await folder.run(work, [1], is_process=False) == 1
    assert codes == []
    assert [record["item"] for record in folder.records("failures")] == [1]


class Board:
    """A plugin with a display, which prints when it exits."""

    antflow_dashboards = ("board",)

    @hookimpl
    def antflow_dashboard(self, name: str) -> Board:
        return self

    def on_start(self, pipeline: object, total_items: int | None) -> None: ...

    def on_update(self, snapshot: object) -> None: ...

    def on_finish(self, results: object, summary: object) -> None: ...

    def on_exit(self) -> None:
        sys.stderr.write("the screen is left\n")


async def test_exit_now_leaves_the_display_first(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "_exit", lambda code: None)

    async def work(number: int) -> int:
        folder.execution._exit_now()
        return number

    await folder.run(work, [1], plugins=[Board()], dashboard="board")
    left, _, report = capsys.readouterr().err.partition("\n")
    assert left == "the screen is left"
    assert "tasks that ignored their cancellation were left behind" in report


async def test_a_stop_cancels_what_runs(folder: Folder) -> None:
    begun = asyncio.Event()

    async def work(number: int) -> int:
        begun.set()
        return await asyncio.Future()

    executing = asyncio.create_task(folder.run(work, range(3)))
    await begun.wait()
    folder.execution._stop()
    assert await executing == 1
    assert {record["status"] for record in folder.records("failures")} == {"unprocessed"}
    assert len(folder.records("failures")) == 3
