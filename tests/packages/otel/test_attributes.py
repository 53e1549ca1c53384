"""The names of attributes: each is documented, and has the form of the conventions."""

from __future__ import annotations

import re

from antflow_otel import _attributes

NAMES = {
    name: value
    for name, value in vars(_attributes).items()
    if name.isupper() and name not in {"SCOPE", "SCHEMA_URL"}
}
ROWS = re.findall(r"^\| `([a-z_.]+)` \|", _attributes.__doc__ or "", re.MULTILINE)


def test_each_of_ours_is_in_the_table_and_nothing_else() -> None:
    of_events = {name for name in NAMES.values() if name.startswith("exception.")}
    assert set(ROWS) == set(NAMES.values()) - of_events
    assert len(ROWS) == len(set(ROWS))


def test_they_have_the_form_of_the_conventions() -> None:
    assert len(NAMES) == len(set(NAMES.values()))
    for value in NAMES.values():
        assert re.fullmatch(r"[a-z]+(\.[a-z_]+)+", value)
        assert value.split(".")[0] in {"antflow", "code", "error", "exception"}
