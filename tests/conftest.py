"""Tests meet no plugin but those that they bring, and are never too late for a busy machine."""

import gc
import os
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.helpers.installation import forget_installed, install

os.environ["ANTFLOW_PLUGIN_AUTOLOAD"] = "0"
settings.register_profile("antflow", deadline=None)
settings.load_profile("antflow")

# What runs the tests in the background, or by nohup, has these ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):  # not on Windows
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Have a collection of garbage in a test go through what that test has made, and no more."""
    gc.freeze()  # all that pytest holds; each of the tests' many collections would go through it
    try:
        return (yield)
    finally:
        gc.unfreeze()


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have no plugin installed, and forget in the end what the test has had installed."""
    install(monkeypatch)
    yield
    forget_installed()
