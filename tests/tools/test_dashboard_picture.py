"""The picture of the dashboard is small, and what draws it knows what the dashboard has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tools.dashboard_picture import draw
from tools.dashboard_picture.record import DASHBOARD, legend

LIMIT = 300_000
PANELS_JSX = (Path(draw.__file__).parent / "panels.jsx").read_text(encoding="utf-8")
ALL_PANELS = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
DRAWN = [panel for panel in ALL_PANELS if panel["gridPos"]["y"] < draw.ROWS]


def listed(pattern: str) -> set[str]:
    """Return the words in a part of the program that draws."""
    found = re.search(pattern, PANELS_JSX, re.DOTALL)
    assert found
    return {*re.findall(r"[\w-]+", found[1])}


def test_the_picture_is_small_and_as_wide_as_it_was_drawn() -> None:
    picture = draw.PICTURE.read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(picture[16:20], "big") == draw.WIDTH
    assert len(picture) < LIMIT


@pytest.mark.parametrize("panel", DRAWN, ids=lambda panel: panel["title"])
def test_what_draws_a_panel_knows_its_type_and_fields(panel: dict[str, object]) -> None:
    assert panel["type"] in {"row", *listed(r"DRAWN_BY = {(.*?)}")}
    config = panel.get("fieldConfig", {})
    assert isinstance(config, dict)
    assert {*config.get("defaults", {}).get("custom", {})} <= listed(r"CUSTOM = \[(.*?)\]")


def test_a_series_is_called_as_its_legend_says() -> None:
    assert legend("{{pipeline}} / {{ stage }}", {"pipeline": "p", "stage": "s"}) == "p / s"
    assert legend("__auto", {"pipeline": "p"}) is None
