"""Names become labels, up to a limit."""

from __future__ import annotations

import pytest

from antflow_prometheus._labels import (
    MAX_PER_PARENT,
    MAX_PIPELINES,
    LabelKind,
    LabelLimiter,
    Labels,
)


def test_a_name_is_kept() -> None:
    limiter = LabelLimiter()
    assert limiter.labels("pipeline", (), "letters") == ("letters",)
    assert limiter.labels("stage", ("letters",), "Parse") == ("letters", "Parse")


def test_pipelines_past_the_hundredth_are_one() -> None:
    limiter = LabelLimiter()
    first = [limiter.labels("pipeline", (), f"p{number}") for number in range(MAX_PIPELINES)]
    assert first == [(f"p{number}",) for number in range(100)]
    assert (
        limiter.labels("pipeline", (), "late")
        == limiter.labels("pipeline", (), "later")
        == ("other",)
    )
    assert limiter.labels("pipeline", (), "p7") == ("p7",)


def test_what_is_within_is_bounded_for_each_parent_alone() -> None:
    limiter = LabelLimiter()
    for number in range(MAX_PER_PARENT):
        limiter.labels("stage", ("a",), str(number))
    assert limiter.labels("stage", ("a",), "late") == ("a", "other")
    assert limiter.labels("stage", ("b",), "late") == ("b", "late")
    assert limiter.labels("task", ("a", "7"), "task") == ("a", "7", "task")


@pytest.mark.parametrize(
    ("one", "other", "parents"), [("stage", "plugin", ("a",)), ("task", "error", ("a", "s"))]
)
def test_names_of_one_kind_take_no_place_of_another(
    one: LabelKind, other: LabelKind, parents: Labels
) -> None:
    limiter = LabelLimiter()
    for number in range(MAX_PER_PARENT):
        limiter.labels(one, parents, str(number))
    assert limiter.labels(other, parents, "late") == (*parents, "late")
    assert limiter.labels(one, parents, "late") == (*parents, "other")


@pytest.mark.parametrize(
    ("name", "label"), [("caf\xe9", "caf\xe9"), ("caf\udce9", "caf?"), (7, "7"), (None, "None")]
)
def test_a_name_is_made_a_text_that_can_be_written(name: object, label: str) -> None:
    assert LabelLimiter().labels("pipeline", (), name) == (label,)
