"""What the tests of antflow-core share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.core import simulation


@pytest.fixture
def simulate() -> Callable[..., Any]:
    """Run a coroutine on the simulated loop: see `tests.core.simulation`."""
    return simulation.simulate
