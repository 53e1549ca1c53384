"""Throughput over time."""

from __future__ import annotations

from dataclasses import replace

from antflow_rich._sections import CHART_ROWS, throughput_chart
from tests.packages.rich.views import MIDWAY


def test_the_chart_says_its_scale() -> None:
    lines = [line.plain for line in throughput_chart(MIDWAY, 60, 0).draw(3)]
    assert lines[0].startswith("throughput  over 0:15  ")
    assert lines[0].endswith("  peak 484/s")
    assert [len(line) for line in lines] == [60, 60, 60]


def test_it_is_there_as_soon_as_there_is_something_to_compare() -> None:
    assert throughput_chart(MIDWAY, 60, 0).max_rows == CHART_ROWS
    assert throughput_chart(replace(MIDWAY, history=(3.0,)), 60, 0).max_rows == 0
    assert throughput_chart(replace(MIDWAY, history=()), 60, 0).max_rows == 0
