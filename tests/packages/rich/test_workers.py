"""Workers and the items that they hold."""

from __future__ import annotations

from dataclasses import replace

from antflow_rich._layout import Section
from antflow_rich._sections import items_in_flight, worker_table, worker_totals
from tests.packages.rich.views import MIDWAY


def lines(block: Section, rows: int = 99) -> list[str]:
    return [line.plain for line in block.draw(rows)]


def test_what_each_worker_does() -> None:
    shown = lines(worker_table(MIDWAY, 100, 0))
    assert shown[0].split("  ")[0] == "worker"
    assert shown[0].endswith("22 of 44")
    first = "Fetch-W0 order-6201 4.2s 2 300 1 40ms GET /orders/6201, 0 of 96 kB"
    assert " ".join(shown[1].split()) == first
    assert shown[-1].split() == ["Store-W3", "idle", "1,550", "0", "2.2ms"]


def test_in_a_narrow_window_what_it_does_now_stays() -> None:
    assert lines(worker_table(MIDWAY, 40, 0), 2)[1].split()[0] == "Fetch-W0"
    headings = lines(worker_table(MIDWAY, 40, 0), 2)[0].split()
    assert headings[:3] == ["worker", "item", "doing"]


def test_what_each_worker_has_done() -> None:
    shown = lines(worker_totals(MIDWAY, 57, 0), 9)
    assert shown[0].split()[:5] == ["worker", "done", "failed", "mean", "item"]
    assert shown[1].split() == ["Fetch-W0", "300", "1", "40ms", "order-6201"]


def test_items_in_flight_the_oldest_first() -> None:
    shown = lines(items_in_flight(MIDWAY, 80, 0))
    assert shown[0].split() == ["in", "flight", "stage", "attempt", "age", "doing"]
    assert len(shown) == 1 + MIDWAY.busy_workers
    assert shown[1].split()[:4] == ["order-6201", "Fetch", "2", "4.2s"]
    assert not any("idle" in line for line in shown)


def test_a_second_attempt_stands_out() -> None:
    block = items_in_flight(MIDWAY, 80, 0)
    second, first = block.draw(3)[1:]
    assert "yellow" in {str(span.style) for span in second.spans}
    assert "yellow" not in {str(span.style) for span in first.spans}


def test_no_items_take_no_rows() -> None:
    assert items_in_flight(replace(MIDWAY, workers=(), busy_workers=0), 80, 0).max_rows == 0
