"""Fixtures of the tests of hooks."""

from __future__ import annotations

import pytest

from tests.helpers.events import CHAINS, Chain, SlowWatcher, Stop, Watcher


@pytest.fixture(params=CHAINS, ids=lambda chain: f"{chain.name} of {chain.number}")
def chain(request: pytest.FixtureRequest) -> Chain:
    found: Chain = request.param
    return found


@pytest.fixture(params=[Watcher, SlowWatcher])
def watcher(request: pytest.FixtureRequest) -> Watcher:
    found: Watcher = request.param()
    return found


@pytest.fixture
def stop(watcher: Watcher, chain: Chain) -> Stop:
    return Stop(chain, watcher)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch, nothing_installed: None) -> None:
    """Let the first exception of a plugin end the run."""
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")
