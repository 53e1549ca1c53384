"""Names of tests that are the same in every process."""

from __future__ import annotations

import re

ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def id_of(value: object) -> str:
    """Return what a value is called, without where in memory it is."""
    return ADDRESS.sub("", repr(value))
