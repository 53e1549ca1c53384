"""The lines of `progress` say the same of a run with antflow-rich as without it.

antflow-core writes lines of its own where antflow-rich is not installed. Each package has its own
code for them, since antflow-rich imports public names only; so this test compares the two.
"""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from antflow import DashboardSnapshot, ErrorSummary, PipelineStats
from antflow._plugins import plain_progress as plain
from antflow_rich._formats import percent, rate
from antflow_rich._view_builder import MAX_SECONDS_LEFT, counts_of, estimate_seconds_left

RATES = [0.0, *(10 ** Random(number).uniform(-4, 2.99) for number in range(500))]
EDGES = [0.94, 0.951, 0.97, 1.0, 9.94, 9.96]


@pytest.mark.parametrize("items", [*RATES, *EDGES, *(edge / 60 for edge in EDGES)])
def test_rates(items: float) -> None:
    assert plain.per_time(items) == rate(items)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.004, 0.006, 0.249, 0.625, 0.994, 0.996, 1.0])
def test_percentages(share: float) -> None:
    assert plain.percent(share) == percent(share)


def snapshot(fed: int, ended: tuple[int, int, int], fraction: float | None) -> DashboardSnapshot:
    processed, failed, dropped = ended
    stats = PipelineStats(processed, failed, 0, {}, {}, items_fed=fed, items_dropped=dropped)
    return DashboardSnapshot({}, {}, stats, ErrorSummary(0, {}, {}, []), 0.0, fraction)


@pytest.mark.parametrize(
    ("total", "fraction", "fed", "ended"),
    [
        (total, fraction, fed, ended)
        for total, fraction, fed, ended in product(
            (None, 0, 10, 1000), (None, 0.0, 0.3, 1.0), (0, 8, 40), ((0, 0, 0), (5, 2, 1))
        )
        if sum(ended) <= fed
    ],
)
def test_the_share_and_the_time_left(
    total: int | None, fraction: float | None, fed: int, ended: tuple[int, int, int]
) -> None:
    shot = snapshot(fed, ended, fraction)
    counts = counts_of(shot.pipeline_stats, total, fraction)
    share = plain.share_ended(shot, total)
    assert share == counts.share
    for items in (0.0, 1e-9, 2.0):
        left = plain.time_left(sum(ended), share, items)
        assert left == pytest.approx(estimate_seconds_left(counts, items))
    assert plain.LONGEST_LEFT == MAX_SECONDS_LEFT
