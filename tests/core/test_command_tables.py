"""Tables of text."""

from __future__ import annotations

from antflow._cli.printing import table


def test_columns_are_as_wide_as_they_need() -> None:
    assert table([("A", "LONG", "C"), ("wide", "b", "")]) == "A     LONG  C\nwide  b"
