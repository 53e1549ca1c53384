"""Random scenarios under random interleavings: no law may break in any of them.

`make test` runs the same 2,000 scenarios each time. With FUZZ_SECONDS in the environment fresh ones
are drawn for that long. A failure prints its scenario as Python, shrunk; as a regression test it is
pasted into REGRESSIONS.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from .scenarios import Scenario, scenarios
from .trial import run_scenario

Mode = Literal["run", "stream", "service"]
EXAMPLES: dict[Mode, int] = {"run": 600, "stream": 600, "service": 800}
FUZZ_SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
FUZZ_EXAMPLES = 2_000

REGRESSIONS: list[Scenario] = []
"""Scenarios that once failed."""


@pytest.fixture
def quiet() -> Iterator[None]:
    """Let callbacks raise and feeds be refused by the thousand without a log of it."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def fuzz(
    mode: Mode, examples: int, *, fresh: int | None = None, shrink: bool = True
) -> Callable[[], None]:
    """Make a function that tries so many scenarios; the same ones each time unless `fresh`."""

    def try_one(scenario: Scenario) -> None:
        run_scenario(scenario)

    configured = settings(
        max_examples=examples,
        derandomize=fresh is None,
        database=None,
        deadline=None,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    test = given(scenario=scenarios(mode))(try_one)
    return configured(test if fresh is None else seed(fresh)(test))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("mode", EXAMPLES)
def test_no_law_breaks(mode: Mode) -> None:
    fuzz(mode, EXAMPLES[mode])()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("scenario", REGRESSIONS, ids=repr)
def test_what_failed_once_does_not_fail_again(scenario: Scenario) -> None:
    run_scenario(scenario)


@pytest.mark.usefixtures("quiet")
@pytest.mark.skipif(not FUZZ_SECONDS, reason="FUZZ_SECONDS is not set")
def test_no_law_breaks_for_as_long_as_asked() -> None:
    deadline = time.monotonic() + FUZZ_SECONDS
    while time.monotonic() < deadline:
        for mode in EXAMPLES:
            fuzz(mode, FUZZ_EXAMPLES, fresh=secrets.randbits(64))()
