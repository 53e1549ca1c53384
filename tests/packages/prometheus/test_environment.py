"""The environment configures a server: one, in the main process."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from io import StringIO
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import pytest

from antflow_prometheus._environment import ADDR, PORT, PUSHGATEWAY, ProcessServer, port_of


@pytest.fixture
def service() -> Iterator[ProcessServer]:
    service = ProcessServer()
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


def test_nothing_is_opened_unless_it_is_asked_for(service: ProcessServer) -> None:
    service.open({})
    assert service.server is None


def test_it_is_opened_once(service: ProcessServer) -> None:
    service.open({PORT: "0"})
    first = service.server
    assert first is not None
    assert first.url.startswith("http://127.0.0.1:")
    service.open({PORT: "0"})
    assert service.server is first


def test_it_is_opened_at_the_address_that_is_asked_for(service: ProcessServer) -> None:
    service.open({PORT: "0", ADDR: "0.0.0.0"})
    assert service.server is not None
    assert service.server.url.startswith("http://0.0.0.0:")


@pytest.mark.parametrize("addr", ["[::1]", "\0"])
def test_what_is_no_address_is_refused(service: ProcessServer, addr: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{addr!r}; give ")):
        service.open({PORT: "0", ADDR: addr})
    assert service.server is None


def test_an_address_is_refused_by_the_name_of_its_variable(service: ProcessServer) -> None:
    with pytest.raises(ValueError, match=rf"^{ADDR} is '\[::1\]'; give '::1', without"):
        service.open({PORT: "0", ADDR: "[::1]"})


def open_in_child(environ: dict[str, str], answers: Connection) -> None:
    """Open twice, and send whether there is a server, and what was logged."""
    texts = StringIO()
    logging.basicConfig(stream=texts, format="%(levelname)s %(message)s")
    service = ProcessServer()
    service.open(environ)
    service.open(environ)
    answers.send((service.server is not None, texts.getvalue().splitlines()))


def opened_in_child(environ: dict[str, str]) -> Any:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=open_in_child, args=(environ, theirs), name="Worker-7")
    with ours:
        child.start()
        theirs.close()
        answer = ours.recv()
        child.join(10)
    assert child.exitcode == 0
    return answer


def test_a_child_process_opens_none_and_says_so_once() -> None:
    is_open, (line,) = opened_in_child({PORT: "0"})
    assert not is_open
    assert line.startswith(f"WARNING {PORT} opens a port in the main process only")
    assert "Worker-7" in line
    assert "start_http_server" in line
    assert PUSHGATEWAY in line


def test_a_child_process_is_silent_when_nothing_is_asked_for() -> None:
    assert opened_in_child({}) == (False, [])


def test_a_port_that_is_taken_is_tried_again(service: ProcessServer) -> None:
    other = ProcessServer()
    other.open({PORT: "0"})
    assert other.server is not None
    environ = {PORT: str(other.server.port)}
    with pytest.raises(OSError, match="another program"):
        service.open(environ)
    other.server.close()
    service.open(environ)
    assert service.server is not None
