"""Names become series only while there are few of them."""

from __future__ import annotations

from antflow_prometheus._names import MOST_PIPELINES, MOST_WITHIN, Names


def test_a_name_is_kept() -> None:
    names = Names()
    assert names.of((), "letters") == ("letters",)
    assert names.of(("letters",), "Parse") == ("letters", "Parse")


def test_pipelines_past_the_hundredth_are_one() -> None:
    names = Names()
    first = [names.of((), f"p{number}") for number in range(MOST_PIPELINES)]
    assert first == [(f"p{number}",) for number in range(100)]
    assert names.of((), "late") == names.of((), "later") == ("other",)
    assert names.of((), "p7") == ("p7",)


def test_what_is_within_is_bounded_for_each_parent_alone() -> None:
    names = Names()
    for number in range(MOST_WITHIN):
        names.of(("a",), str(number))
    assert names.of(("a",), "late") == ("a", "other")
    assert names.of(("b",), "late") == ("b", "late")
    assert names.of(("a", "7"), "task") == ("a", "7", "task")
