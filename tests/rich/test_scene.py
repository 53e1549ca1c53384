"""What follows from the figures of a scene."""

from __future__ import annotations

from antflow_rich._scene import Counts, Scene, StageScene


def test_what_is_done_and_what_remains() -> None:
    counts = Counts(total=10, fed=8, succeeded=3, failed=2, dropped=1, unprocessed=1)
    assert (counts.done, counts.remaining, counts.share) == (6, 4, 0.6)


def test_where_the_total_is_unknown_what_was_fed_remains() -> None:
    counts = Counts(total=None, fed=8, succeeded=3)
    assert (counts.remaining, counts.share) == (5, None)


def test_nothing_to_do_is_all_done() -> None:
    assert Counts(total=0).share == 1.0


def test_stages_together() -> None:
    scene = Scene("p", stages=(StageScene("A", 3), StageScene("B", 4, is_bottleneck=True)))
    assert scene.total_workers == 7
    assert scene.bottleneck is scene.stages[1]
    assert Scene("p").bottleneck is None
