"""`progress=True` without antflow-rich: plain lines on standard error."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from antflow import Limit, Pipeline, Stage
from tests.helpers.runs import run_exactly

Captured = pytest.CaptureFixture[str]


class Input:
    """Numbers from 0, without a length; it may say which share of them was read."""

    def __init__(self, length: int, *, is_measured: bool = False) -> None:
        self.length, self.read = length, 0
        if is_measured:
            self.fraction_read = lambda: self.read / self.length

    def __iter__(self) -> Iterator[int]:
        for number in range(self.length):
            self.read += 1
            yield number


async def second(value: int) -> int:
    await asyncio.sleep(1)
    return value


async def second_or_fail(value: int) -> int:
    await asyncio.sleep(1)
    if value % 10 == 3:
        raise ValueError(value)
    return value


def run(items: Any, task: Any = second, *, name: str = "pages", **options: Any) -> None:
    """Run items of a second each, two at a time, in virtual time."""
    stage = Stage("Work", 2, [task], task_attempts=1, queue_capacity=2)
    pipeline = Pipeline([stage], name=name, autoload=False)
    run_exactly(lambda: pipeline.run(items, progress=True, **options))


def lines(capsys: Captured) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_a_line_a_second_and_one_at_the_end(capsys: Captured) -> None:
    run(range(8))
    assert lines(capsys) == [
        "pages: 2 of 8 items (25%), 0 items failed, 2/s, 0:00:03 left",
        "pages: 4 of 8 items (50%), 0 items failed, 2/s, 0:00:02 left",
        "pages: 6 of 8 items (75%), 0 items failed, 2/s, 0:00:01 left",
        "pages: 8 of 8 items in 0:00:04, 0 items failed, 2/s",
    ]


@pytest.mark.parametrize("interval", [0.01, 0.3, 0.5, 1, 1.7])
def test_there_is_a_second_between_two_lines_at_least(
    interval: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []

    class Timed(io.StringIO):
        def write(self, text: str) -> int:
            times.append(asyncio.get_running_loop().time())
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Timed())
    run(range(20), dashboard_update_interval=interval)
    *shown, last = times
    assert len(shown) > 4
    assert all(later - time >= 1 for time, later in pairwise(shown))
    assert last == pytest.approx(10.0, abs=0.1)


def test_an_input_of_unknown_length(capsys: Captured) -> None:
    run(Input(20))
    shown = lines(capsys)
    assert shown[2] == "pages: 6 items so far, 0 items failed, 2/s"
    assert not any("%" in line or "left" in line for line in shown)
    assert shown[-1] == "pages: 20 items in 0:00:10, 0 items failed, 2/s"


def test_an_input_that_says_how_much_of_it_was_read(capsys: Captured) -> None:
    run(Input(20, is_measured=True))
    *shown, last = lines(capsys)
    percents = [int(line.split("(")[1].split("% of the input)")[0]) for line in shown]
    assert percents == [pytest.approx(10 * second, abs=5) for second in range(1, 10)]
    assert shown[0].endswith("of the input), 0 items failed, 2/s, 0:00:07 left")
    assert last == "pages: 20 items in 0:00:10, 0 items failed, 2/s"


def test_the_limit_that_holds_items_back_is_named(capsys: Captured) -> None:
    limit = Limit(rate=1, per=2, name="tokens")

    async def work(value: int) -> int:
        if value == 1:
            limit.pause(4)
        return value

    stages = [Stage("Work", 2, [work], limits=[limit]), Stage("Next", 1, [second])]
    pipeline = Pipeline(stages, name="pages", autoload=False)
    run_exactly(lambda: pipeline.run(range(4), progress=True))
    ends = [line.partition("waits for ")[2] for line in lines(capsys)]
    assert ends[0] == "limit 'tokens' (3 items)"
    assert "limit 'tokens' (2 items), paused for 0:00:03" in ends
    assert ends[-1] == ""


@pytest.mark.parametrize(("count", "text"), [(10, "1 item failed"), (20, "2 items failed")])
def test_failures_are_counted(count: int, text: str, capsys: Captured) -> None:
    run(range(count), second_or_fail)
    assert f"{count} of {count} items in" in (last := lines(capsys)[-1])
    assert text in last


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.05, "40/s"), (1.25, "1.6/s"), (2.08, "1.0/s"), (90, "1.3/min"), (7200, "1/h")],
)
def test_a_rate_of_any_size(seconds: float, text: str, capsys: Captured) -> None:
    async def work(value: int) -> int:
        await asyncio.sleep(seconds)
        return value

    run(range(8), work, dashboard_update_interval=max(seconds / 2, 0.5))
    assert lines(capsys)[-1].endswith(f" {text}")


def test_a_percentage_is_the_nearest_one_but_100_for_all_only(capsys: Captured) -> None:
    run(range(300))
    shown = lines(capsys)
    assert shown[0].startswith("pages: 2 of 300 items (1%), ")
    assert any(line.startswith("pages: 8 of 300 items (3%), ") for line in shown)
    assert any(line.startswith("pages: 298 of 300 items (99%), ") for line in shown)


def test_nothing_to_do(capsys: Captured) -> None:
    run([])
    (line,) = lines(capsys)
    assert line.startswith("pages: 0 of 0 items in 0:00:00, 0 items failed")


def test_a_run_that_breaks_off_has_its_last_line(capsys: Captured) -> None:
    def broken() -> Iterator[int]:
        yield from range(4)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        run(broken())
    assert lines(capsys)[-1].startswith("pages: 4 items in ")


def test_a_name_is_one_harmless_line(capsys: Captured) -> None:
    run(range(1), name="a\n\x1b[2Jb\u202e" + "c" * 1000)
    for line in lines(capsys):
        assert line.isprintable()
        assert line.startswith("a\\n\\x1b[2Jb\\u202eccc")
        assert len(line) < 200


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed(), Broken()], ids=["none", "closed", "broken"])
def test_without_a_standard_error_the_run_goes_on(
    stream: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: Captured
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    run(range(4))
    assert not caplog.records
    assert capsys.readouterr().out == ""


def test_what_the_encoding_lacks_is_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, encoding="ascii"))
    run(range(1), name="Öl")
    assert written.getvalue().startswith(b"?l: ")
