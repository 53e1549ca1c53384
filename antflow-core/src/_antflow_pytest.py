"""The pytest plugin of antflow-core: fixtures for those who test plugins.

It is a module beside the package, so that a test session that needs none of it does not import
antflow. `pytest -p no:antflow` leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from antflow.testing import Clock, PluginRun, Recorder


@pytest.fixture
def antflow_clock() -> Clock:
    """The time of the test: waits take none, and durations are exact."""
    from antflow.testing import Clock

    return Clock()


@pytest.fixture
def antflow_recorder() -> Recorder:
    """A plugin that remembers every call of a hook, to be given to a pipeline."""
    from antflow.testing import Recorder

    return Recorder()


@pytest.fixture
def antflow_run(antflow_clock: Clock) -> Callable[..., PluginRun]:
    """Run items through stages with the plugins named and no others: `run_pipeline`."""
    from antflow.testing import run_pipeline

    return partial(run_pipeline, clock=antflow_clock)
