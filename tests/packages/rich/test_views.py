"""Figures derived from those of a view."""

from __future__ import annotations

from antflow_rich._views import ItemCounts, RunView, StageView


def test_what_is_done_and_what_remains() -> None:
    counts = ItemCounts(total=10, fed=8, succeeded=3, failed=2, dropped=1, unprocessed=1)
    assert (counts.done, counts.remaining, counts.share) == (6, 4, 0.6)


def test_where_the_total_is_unknown_what_was_fed_remains() -> None:
    counts = ItemCounts(total=None, fed=8, succeeded=3)
    assert (counts.remaining, counts.share) == (5, None)


def test_nothing_to_do_is_all_done() -> None:
    assert ItemCounts(total=0).share == 1.0


def test_totals_of_all_stages() -> None:
    view = RunView("p", stages=(StageView("A", 3), StageView("B", 4, is_bottleneck=True)))
    assert view.total_workers == 7
    assert view.bottleneck is view.stages[1]
    assert RunView("p").bottleneck is None
