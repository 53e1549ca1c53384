"""The pictures in the documents are those of the displays as they are."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.packages.rich.pictures import FOLDER, PICTURES, svg


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_up_to_date(name: str) -> None:
    kept = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert kept == svg(name, PICTURES[name]), "run `make pictures`, and look at them"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_loads_nothing_from_elsewhere(name: str) -> None:
    text = svg(name, PICTURES[name])
    ET.fromstring(text)
    assert "url(http" not in text
    assert "@font-face" not in text
