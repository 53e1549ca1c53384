"""The display of stages, workers and the latest errors."""

from __future__ import annotations

from antflow_rich._frames import detailed
from antflow_rich._views import RunView
from tests.packages.rich.views import BEGINNING, LARGE, MIDWAY, WITHOUT_ERRORS


def first_words(view: RunView, width: int, height: int) -> list[str]:
    return [line.plain.strip().partition(" ")[0] for line in detailed(view, width, height)]


def test_in_eighty_by_twenty_four() -> None:
    words = first_words(MIDWAY, 80, 24)
    assert len(words) == 24
    assert [words.index(heading) for heading in ("stage", "worker", "failed")] == [4, 11, 18]


def test_in_forty_by_twelve_stages_and_failures_are_there() -> None:
    words = first_words(MIDWAY, 40, 12)
    assert {"stage", "failed"} <= set(words)
    assert words[:2] == ["orders", words[1]]
    assert len(words) == 12


def test_nothing_is_said_of_failures_where_there_are_none() -> None:
    assert "failed" not in first_words(WITHOUT_ERRORS, 80, 24)


def test_at_the_beginning_there_are_the_stages() -> None:
    assert first_words(BEGINNING, 80, 24)[-5:] == ["Fetch", "Parse", "Enrich", "Store", "█"]


def test_thirty_stages_leave_room_for_workers_and_errors() -> None:
    assert {"stage", "worker", "failed"} <= set(first_words(LARGE, 80, 24))


def test_of_a_high_window_a_third_is_left_to_what_tasks_print() -> None:
    assert len(detailed(LARGE, 80, 24)) == 24
    assert len(detailed(LARGE, 80, 30)) == 24
    assert len(detailed(LARGE, 80, 60)) == 40
