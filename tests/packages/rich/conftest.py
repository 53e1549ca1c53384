"""Fixtures for tests of displays: no variable of the environment describes the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.packages.rich.terminals import PseudoTerminal, pseudo_terminal

OF_TERMINALS = ("CI", "COLORTERM", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TTY_COMPATIBLE")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_TERMINALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def tty() -> Iterator[PseudoTerminal]:
    """A terminal of 80 columns and 24 lines."""
    with pseudo_terminal() as terminal:
        yield terminal
