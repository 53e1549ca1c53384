"""Names become series only while there are few of them."""

from __future__ import annotations

import pytest

from antflow_prometheus._names import MOST_PIPELINES, MOST_WITHIN, Kind, Labels, Names


def test_a_name_is_kept() -> None:
    names = Names()
    assert names.of("pipeline", (), "letters") == ("letters",)
    assert names.of("stage", ("letters",), "Parse") == ("letters", "Parse")


def test_pipelines_past_the_hundredth_are_one() -> None:
    names = Names()
    first = [names.of("pipeline", (), f"p{number}") for number in range(MOST_PIPELINES)]
    assert first == [(f"p{number}",) for number in range(100)]
    assert names.of("pipeline", (), "late") == names.of("pipeline", (), "later") == ("other",)
    assert names.of("pipeline", (), "p7") == ("p7",)


def test_what_is_within_is_bounded_for_each_parent_alone() -> None:
    names = Names()
    for number in range(MOST_WITHIN):
        names.of("stage", ("a",), str(number))
    assert names.of("stage", ("a",), "late") == ("a", "other")
    assert names.of("stage", ("b",), "late") == ("b", "late")
    assert names.of("task", ("a", "7"), "task") == ("a", "7", "task")


@pytest.mark.parametrize(
    ("one", "other", "parents"), [("stage", "plugin", ("a",)), ("task", "error", ("a", "s"))]
)
def test_names_of_one_kind_take_no_place_of_another(
    one: Kind, other: Kind, parents: Labels
) -> None:
    names = Names()
    for number in range(MOST_WITHIN):
        names.of(one, parents, str(number))
    assert names.of(other, parents, "late") == (*parents, "late")
    assert names.of(one, parents, "late") == (*parents, "other")


@pytest.mark.parametrize(
    ("name", "label"), [("caf\xe9", "caf\xe9"), ("caf\udce9", "caf?"), (7, "7"), (None, "None")]
)
def test_a_name_is_made_a_text_that_can_be_written(name: object, label: str) -> None:
    assert Names().of("pipeline", (), name) == (label,)
