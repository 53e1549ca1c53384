"""Fixtures of the tests of antflow-core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.installation import forget_installed, install


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have no plugin installed, and forget in the end what the test has had installed."""
    install(monkeypatch)
    yield
    forget_installed()
