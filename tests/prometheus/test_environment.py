"""The environment asks for a server: one, in the main process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from antflow_prometheus import _environment
from antflow_prometheus._environment import ADDR, PORT, Service, port_of


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    if service.server is not None:
        service.server.close()


@pytest.mark.parametrize(
    ("text", "port"), [("9464", 9464), (" 9464 ", 9464), ("0", 0), ("", None), ("  ", None)]
)
def test_a_port_is_read(text: str, port: int | None) -> None:
    assert port_of({PORT: text}) == port
    assert port_of({}) is None


@pytest.mark.parametrize("text", ["http", "-1", "65536", "94 64", "1.5", "0x10"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{PORT} is {text!r}; set it to")):
        port_of({PORT: text})


def test_nothing_is_opened_unless_it_is_asked_for(service: Service) -> None:
    service.open({})
    assert service.server is None


def test_it_is_opened_once(service: Service) -> None:
    service.open({PORT: "0"})
    first = service.server
    assert first is not None
    assert first.url.startswith("http://127.0.0.1:")
    service.open({PORT: "0"})
    assert service.server is first


def test_it_is_opened_at_the_address_that_is_asked_for(service: Service) -> None:
    service.open({PORT: "0", ADDR: "0.0.0.0"})
    assert service.server is not None
    assert service.server.url.startswith("http://0.0.0.0:")


def test_a_child_process_opens_none(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def parent() -> Any:
        return object()

    monkeypatch.setattr(_environment, "parent_process", parent)
    service.open({PORT: "0"})
    assert service.server is None


def test_a_port_that_is_taken_is_tried_again(service: Service) -> None:
    other = Service()
    other.open({PORT: "0"})
    assert other.server is not None
    environ = {PORT: str(other.server.port)}
    with pytest.raises(OSError, match="another program"):
        service.open(environ)
    other.server.close()
    service.open(environ)
    assert service.server is not None
