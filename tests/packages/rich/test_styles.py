"""Colours are never the only sign."""

from __future__ import annotations

from rich.style import Style

from antflow_rich import _styles as styles
from antflow_rich._views import STATES

COLOURS = ("SUCCESS", "FAILURE", "WAITING", "BLOCKED", "BOTTLENECK", "TITLE", "DIM")


def test_each_state_has_a_colour_and_a_symbol_of_its_own() -> None:
    for by_state in styles.STATE_COLOURS, styles.STATE_SYMBOLS:
        assert set(by_state) == set(STATES)
        assert len(set(by_state.values())) == len(STATES)


def test_failures_look_like_nothing_else() -> None:
    colours = {name: Style.parse(getattr(styles, name)).color for name in COLOURS}
    red = Style.parse("red").color
    assert [name for name in COLOURS if colours[name] == red] == ["FAILURE"]
