"""Colours are never the only sign."""

from __future__ import annotations

from rich.style import Style

from antflow_rich import _colours as colours
from antflow_rich import _glyphs as glyphs
from antflow_rich._scene import STATES


def test_each_state_has_a_colour_and_a_sign_of_its_own() -> None:
    for of_state in colours.OF_STATE, glyphs.OF_STATE:
        assert set(of_state) == set(STATES)
        assert len(set(of_state.values())) == len(STATES)


def test_failures_look_like_nothing_else() -> None:
    names = [name for name in vars(colours) if name.isupper() and name != "OF_STATE"]
    styles = {name: Style.parse(getattr(colours, name)) for name in names}
    assert [name for name in names if styles[name].color == Style.parse("red").color] == ["BAD"]
