"""The path by which one object keeps another alive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from antflow.testing._references import path_from, referrers_of


class Keeper:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Slotted:
    __slots__ = ("thing",)

    def __init__(self, thing: object) -> None:
        self.thing = thing


class Thing:
    """What is kept."""


THING = Thing()


def failing() -> None:
    things = [THING]
    raise LookupError(f"{len(things)} is too few")


def error_of(call: Callable[[], None]) -> LookupError:
    with pytest.raises(LookupError) as caught:
        call()
    return caught.value


def closing_over(thing: object) -> Any:
    return lambda: thing


@pytest.mark.parametrize(
    ("keeper", "path"),
    [
        (Keeper(thing=THING), "Keeper.thing"),
        (Keeper(runs=[1, {"one": THING}]), "Keeper.runs[1]['one']"),
        (Keeper(runs={7: (THING,)}), "Keeper.runs[7][0]"),
        (Keeper(runs=deque([THING])), "Keeper.runs[0]"),
        (Keeper(runs={(1, 2): THING}), "Keeper.runs -> Thing"),
        (Keeper(runs={THING}), "Keeper.runs -> Thing"),
        (Keeper(of=Keeper(thing=THING)), "Keeper.of.thing"),
        (Keeper(slotted=Slotted(THING)), "Keeper.slotted -> Thing"),
        (Keeper(call=closing_over(THING)), "Keeper.call -> tuple[0] -> Thing"),
        (Keeper(of=[[[[[[[THING]]]]]]]), "Keeper.of[0][0][0][0][0] ... Thing"),
        (Keeper(last=error_of(failing)), "Keeper.last.__traceback__[failing].things[0]"),
        (Keeper(), ""),
    ],
)
def test_the_path_is_written_like_python_code(keeper: object, path: str) -> None:
    assert path_from(keeper, THING) == path


def test_globals_are_not_part_of_a_path() -> None:
    def function() -> object:
        return THING  # by the globals of the module

    assert path_from(Keeper(call=function), THING) == ""


def test_referrers_are_shown_by_type() -> None:
    thing = Thing()
    keeper = [thing]
    assert referrers_of(thing) == "list"
    assert keeper
