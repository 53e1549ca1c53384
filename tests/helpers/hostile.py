"""Texts that try to control a terminal, and what of a text would do so."""

from __future__ import annotations

import re

from hypothesis import strategies as st

CONTROL = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]"
)
"""No byte below 0x20 but newline, no DEL, no C1, no mark of direction, no lone surrogate."""

SEQUENCES = (
    "\x1b]0;title\x07",
    "\x1b]52;c;Zm9v\x07",
    "\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\",
    "\x1b[2J\x1b[H",
    "\x1b[?1049h",
    "\x1bc",
    "\x9b2J",
    "\x9d0;title\x9c",
    "\u202egnp.exe",
    "\u2066\u061c\u200e\u200f",
    "\rantflow run: all is well",
    "\nantflow run: all is well",
    "\x07\x08\x0b\x0c\x0e\x7f\x85\u2028\u2029",
    "\t\x1c\x1f",
    "\udcff",
)
ALL = "".join(SEQUENCES)

HARMLESS = ("order 7", "größer", "日本\u3000語", "👩\u200d🚀", "\\x1b", "{}%s%")

texts = st.lists(
    st.sampled_from(SEQUENCES + HARMLESS)
    | st.characters(max_codepoint=0x2069, exclude_characters="\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=12,
).map("".join)
"""Texts as a command line can have them: without NUL, and with bytes that are not UTF-8."""


def controls(written: str) -> set[str]:
    """Return the characters of a text that would act on a terminal."""
    return set(CONTROL.findall(written))
