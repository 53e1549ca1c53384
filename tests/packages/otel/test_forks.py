"""A forked child process shows its own runs, and waits for no lock of its parent."""

from __future__ import annotations

import pytest

from antflow_otel._instruments import INSTRUMENTS
from tests.helpers.forks import in_a_child, needs_fork
from tests.helpers.virtual_time import simulate
from tests.packages.otel.metering import Metered, stage

pytestmark = needs_fork
QUANTILES = "antflow.task.attempt.duration_quantile"


async def slow(value: int) -> int:
    return sum(range(200_000))


@pytest.mark.parametrize("held", ["instruments", "all instruments"])
def test_a_child_shows_its_own_runs_whatever_lock_was_held(held: str) -> None:
    metered = Metered(quantiles=[0.5])
    simulate(lambda: metered.pipeline(stage()).run(range(3)))
    instruments = INSTRUMENTS._known[metered.provider]
    locks = {
        "instruments": instruments._lock,
        "all instruments": INSTRUMENTS._lock,
    }
    assert metered.value("antflow.item.fed") == 3

    def work() -> str:
        simulate(lambda: metered.pipeline(stage()).run([1]))
        return str(metered.value("antflow.item.fed"))

    with locks[held]:
        assert in_a_child(work) == "1"
    assert metered.value("antflow.item.fed") == 3


def test_a_child_has_quantiles_of_its_own_runs_alone() -> None:
    metered = Metered(quantiles=[0.5])
    simulate(lambda: metered.pipeline(stage(task=slow), name="parents").run(range(3)))
    windows = INSTRUMENTS._known[metered.provider]._windows.copy()

    def work() -> str:
        simulate(lambda: metered.pipeline(stage(), name="childs").run(range(3)))
        renewed = INSTRUMENTS._known[metered.provider]._windows
        assert windows
        assert all(renewed[spec] is not window for spec, window in windows.items())
        return " ".join(metered.values(QUANTILES, "antflow.pipeline.name"))

    assert in_a_child(work) == "childs"
