"""Fixtures of the tests of the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.command import Command


@pytest.fixture
def command(nothing_installed: None, tmp_path: Path) -> Command:
    """The command, in a folder of its own, and without plugins."""
    return Command(tmp_path)
