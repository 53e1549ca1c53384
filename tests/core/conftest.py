"""What the tests of antflow-core share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from antflow._plugins.discovery import INSTALLED
from tests.core.event_parts import CHAINS, Chain, SlowWatcher, Stop, Watcher
from tests.core.installing import install


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have no plugin installed, and forget in the end what the test has had installed."""
    install(monkeypatch)
    yield
    INSTALLED.forget()


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
