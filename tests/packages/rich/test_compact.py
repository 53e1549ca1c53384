"""The display of a few lines."""

from __future__ import annotations

from antflow_rich._frames import compact
from tests.packages.rich.views import LARGE, MIDWAY


def test_all_of_it() -> None:
    lines = [line.plain for line in compact(MIDWAY, 80, 24)]
    assert len(lines) == 5
    assert lines[0].endswith("0:09 left")
    assert "62%  6,214/10,000" in lines[1]
    assert lines[2] == "6,209 succeeded  5 items failed  3,786 remaining  409/s"
    assert "▶ Parse  ████████  8/8 busy" in lines[3]


def test_many_stages_in_a_small_window() -> None:
    lines = [line.plain for line in compact(LARGE, 40, 6)]
    assert len(lines) == 6
    assert lines[-1] == "  … 28 more"
    assert compact(LARGE, 40, 2) == compact(LARGE, 40, 6)[:2]
