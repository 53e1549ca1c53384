"""What a run logs about its failed items."""

from __future__ import annotations

import logging

import pytest


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the text of each warning about failed items."""
    return [record.getMessage() for record in caplog.records if record.name == "antflow"]


def warning(caplog: pytest.LogCaptureFixture) -> str:
    """Return the text of the one record about failed items."""
    (record,) = (record for record in caplog.records if record.name == "antflow")
    assert record.levelno == logging.WARNING
    return record.getMessage()
