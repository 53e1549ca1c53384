"""A forked child process counts its own runs, and waits for no lock of its parent."""

from __future__ import annotations

import asyncio
from socket import socketpair
from threading import Thread

from prometheus_client import CollectorRegistry

from antflow_prometheus import make_asgi_app, start_http_server
from tests.helpers.forks import in_a_child, needs_fork
from tests.packages.prometheus.serving import get
from tests.packages.prometheus.test_apps import HTTP, call

pytestmark = needs_fork


def test_a_child_does_not_keep_the_port_of_its_parent() -> None:
    ours, childs = socketpair()

    def work() -> str:
        childs.send(b"forked")
        childs.recv(1)  # until the parent has used the port again
        return ""

    with ours, childs, start_http_server(0, registry=CollectorRegistry()) as server:
        child = Thread(target=in_a_child, args=(work,))
        child.start()
        assert ours.recv(6) == b"forked"
        server.close()
        with start_http_server(server.port, registry=CollectorRegistry()) as again:
            assert get(again)[0] == 200
        ours.send(b"x")
        child.join()


def test_a_child_closes_its_copy_of_a_server_and_the_parents_goes_on() -> None:
    with start_http_server(0, registry=CollectorRegistry()) as server:

        def work() -> str:
            server.close()
            return str(server.port)

        assert in_a_child(work) == str(server.port)
        assert get(server)[0] == 200


def test_an_application_that_was_asked_before_is_answered_in_a_child() -> None:
    app = make_asgi_app(CollectorRegistry())

    def status() -> str:
        start, _ = asyncio.run(call(app, HTTP))
        return str(start["status"])

    assert status() == "200"
    assert in_a_child(status) == "200"
