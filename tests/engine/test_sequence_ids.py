"""Sequence ids: each is one item's, and an item of an earlier run keeps its own where it can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow._engine.feeding.item_factory import SequenceIds


def numbered(*entering: int | str) -> list[int]:
    """Return the ids of items: new ones are texts, those that are fed back have theirs."""
    ids, found = SequenceIds(), []
    for item in entering:
        if isinstance(item, str):
            found.append(ids.next)
            ids.next += 1
        else:
            found.append(ids.id_for(item))
            ids.take(found[-1])
    return found


@pytest.mark.parametrize(
    ("entering", "found"),
    [
        (["a", "b"], [0, 1]),
        ([7, 3, 5, 1], [7, 3, 5, 1]),
        ([7, 3, "a", "b"], [7, 3, 8, 9]),
        (["a", 10, 11, 9], [0, 10, 11, 9]),  # left in a later stage, behind newer ones
        (["a", 0, "b"], [0, 1, 2]),
        (["a", 5, "b", 6, 3], [0, 5, 6, 7, 3]),
        ([3, 3, 3], [3, 4, 5]),
        ([-1, "a"], [0, 1]),
    ],
)
def test_an_item_keeps_its_id_unless_another_has_it(
    entering: list[int | str], found: list[int]
) -> None:
    assert numbered(*entering) == found


@given(st.lists(st.integers(-2, 12) | st.just("new")))
def test_no_two_items_have_one_id(entering: list[int | str]) -> None:
    found = numbered(*entering)
    assert len(set(found)) == len(found)


def test_the_id_of_an_item_that_was_not_fed_is_free() -> None:
    ids = SequenceIds()
    ids.take(5)
    ids.give_back(5)
    ids.next += 1
    assert (ids.id_for(5), ids.next) == (5, 7)
