"""The picture in motion: what a program shows is recorded, and the recording is fit for pages."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree as ET

from tests.packages.rich.motion import Frame, animated, record
from tests.packages.rich.pictures import FOLDER

PROGRAM = r"""
import sys, time
for number in range(3):
    time.sleep(0.25 if number else 0)
    sys.stderr.write(f"\x1b[H\x1b[1;31m{number} of 2\x1b[0m  \x1b[2m███▁\x1b[0m <ok>")
    sys.stderr.flush()
"""
LIMIT = 300_000
"""Bytes that a picture on the first page may have."""


def texts(frame: Frame) -> list[str]:
    return ["".join(character for character, _ in row).rstrip() for row in frame.rows]


def test_each_change_of_the_screen_is_a_frame_and_a_common_row_is_kept_once() -> None:
    frames = record([sys.executable, "-c", PROGRAM], columns=20, lines=2, interval=0.01)
    assert [texts(frame)[0] for frame in frames] == [f"{n} of 2  ███▁ <ok>" for n in range(3)]
    assert frames[0].at < frames[1].at < frames[2].at
    picture = animated([*frames, Frame(9, frames[0].rows)], "title", "description")
    ET.fromstring(picture)
    assert len(re.findall('<g id="r', picture)) == 3
    assert len(re.findall("<use ", picture)) == 4
    assert "fill:#e85c5c;font-weight:bold" in picture  # red of the theme
    assert "&lt;ok&gt;" in picture


def test_the_picture_of_the_demo_moves_is_small_and_loads_nothing() -> None:
    picture = (FOLDER / "demo.svg").read_text(encoding="utf-8")
    ET.fromstring(picture)
    assert len(picture.encode()) < LIMIT
    hosts = set(re.findall(r"//([\w.-]+)", picture))
    assert hosts <= {"www.w3.org", "127.0.0.1"}  # the name space, the server of the demo
    assert not re.search(r"<script|<image|url\(|@import|@font-face|/home/|/root/", picture)
    assert picture.count("translateX") > 15  # frames
    assert "prefers-reduced-motion" in picture
    # It shows how the run went, and its end.
    assert "items failed" in picture
    assert "is done:" in picture
