"""The share of the input that has been read, in snapshots."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.displays import Recorder, Use, piped, run_or_stream, sleep
from tests.helpers.runs import run_exactly
from tests.helpers.simulated import simulated


class Measured:
    """Numbers from 0, and the share of them that has been read."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.read = 0

    def __iter__(self) -> Iterator[int]:
        for number in range(self.length):
            self.read += 1
            yield number

    def fraction_read(self) -> Any:
        return self.read / self.length


@run_or_stream
@simulated(tick=0.0)
async def test_a_snapshot_has_the_share_of_the_input_that_has_been_read(use: Use) -> None:
    dashboard = Recorder()
    pipeline = piped(sleep, workers=1, queue_capacity=1)
    await use(pipeline, Measured(8), custom_dashboard=dashboard, dashboard_update_interval=2.5)
    shares = [snapshot.input_fraction or 0 for snapshot in dashboard.snapshots]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert shares == sorted(shares)
    assert 0 < shares[1] < 1


@pytest.mark.parametrize(
    ("answer", "shown"), [(None, None), (math.nan, None), (-0.5, 0.0), (7, 1.0), (0.25, 0.25)]
)
@simulated()
async def test_a_share_is_from_0_to_1_or_unknown(answer: Any, shown: float | None) -> None:
    class Odd(Measured):
        def fraction_read(self) -> Any:
            return answer

    pipeline = piped()
    await pipeline.run(Odd(2))
    assert pipeline.get_dashboard_snapshot().input_fraction == shown


@simulated()
async def test_an_input_that_says_nothing_has_no_share() -> None:
    pipeline = piped()
    assert pipeline.get_dashboard_snapshot().input_fraction is None
    await pipeline.run(Measured(2))
    assert pipeline.get_dashboard_snapshot().input_fraction == 1
    await pipeline.run(range(2))
    assert pipeline.get_dashboard_snapshot().input_fraction is None


def test_a_share_that_raises_is_logged_once_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Measured):
        def fraction_read(self) -> Any:
            raise OSError("the file is gone")

    dashboard = Recorder()

    async def main() -> None:
        results = await piped(sleep).run(
            Broken(3), custom_dashboard=dashboard, dashboard_update_interval=1
        )
        assert len(results) == 3
        assert dashboard.calls[-1] == "on_finish"

    with caplog.at_level(logging.ERROR, "antflow"):
        run_exactly(main)
    assert {snapshot.input_fraction for snapshot in dashboard.snapshots} == {None}
    assert len(caplog.records) == 1
    assert "fraction_read()" in caplog.text
    assert "the file is gone" in caplog.text
