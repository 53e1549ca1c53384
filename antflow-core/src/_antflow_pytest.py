"""The pytest plugin of antflow-core: fixtures for tests of plugins.

pytest loads the plugins of all installed packages in every session. This one is a module beside the
package, so that a session that uses none of its fixtures does not import antflow. `pytest -p
no:antflow` leaves it out.
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
    """A `Clock` for the test: waits take no time, and durations are exact."""
    from antflow.testing import Clock

    return Clock()


@pytest.fixture
def antflow_recorder() -> Recorder:
    """A `Recorder`: a plugin that remembers every call of a hook. Give it to a pipeline."""
    from antflow.testing import Recorder

    return Recorder()


@pytest.fixture
def antflow_run(antflow_clock: Clock) -> Callable[..., PluginRun]:
    """Run items through stages with the given plugins only: `run_pipeline` on `antflow_clock`."""
    from antflow.testing import run_pipeline

    return partial(run_pipeline, clock=antflow_clock)
