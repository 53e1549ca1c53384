"""Requests to a web service on FastAPI, whose steps a pipeline or semaphores bound."""

import asyncio
import socket
import sys
from asyncio.subprocess import PIPE
from importlib import import_module
from statistics import quantiles
from time import process_time

from benchmarks.contenders import Contender
from benchmarks.contenders.interface import Step
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost, SpeedRatio
from benchmarks.measurements.scrape import Tick, note_ticks
from benchmarks.measurements.service_client import WARM_UP

CLIENTS = 48
FETCH_SECONDS = 0.005

TAKEN = Metric("us", "us a request", decimals=0)
PROCESSOR = Metric("processor", "us of processor time a request", decimals=0)
RATE = Metric("requests a second", "requests a second", decimals=0)
LATE = Metric("late", "ms that the loop is late, 99 in 100", decimals=1)


async def fetch(number: int) -> int:
    """Wait, as for a remote API."""
    await asyncio.sleep(FETCH_SECONDS)
    return number


def count(number: int) -> int:
    """Do next to nothing, in a thread."""
    return number


async def store(number: int) -> int:
    """Do nothing."""
    return number


STEPS = (Step(fetch, 40), Step(count, 2), Step(store, 4))


async def measure(contender: Contender, size: int) -> Figures:
    """Serve, and have clients in another process send that many requests."""
    ticks: list[Tick] = []
    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener:
        async with contender.program().answering(STEPS) as answer:
            # Imported here, since the environments of the peers have no FastAPI.
            server = import_module("benchmarks.measurements.service_app").server(answer)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            watching = asyncio.create_task(note_ticks(ticks))
            port = listener.getsockname()[1]
            clients = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.measurements.service_client"),
                *map(str, (port, size, CLIENTS)),
                stdout=PIPE,
            )
            begin = process_time()
            output, _ = await clients.communicate()
            used = process_time() - begin
            watching.cancel()
            server.should_exit = True
            await serving
    late = quantiles((late for _, late in ticks), n=100)[-1]
    rate = float(output)
    return {
        TAKEN.name: 1e6 / rate,
        PROCESSOR.name: used / (WARM_UP + size) * 1e6,
        RATE.name: rate,
        LATE.name: late * 1e3,
    }


MEASUREMENT = Measurement(
    name="service",
    title="A web service on FastAPI",
    about=f"{CLIENTS} clients in another process send requests over connections that they keep, "
    "each after the answer to its last. uvicorn serves them with one worker. A request goes "
    f"through three steps: it waits for {FETCH_SECONDS * 1e3:.0f} ms, 40 at a time; calls a plain "
    "function in a thread, 2 at a time; and awaits a coroutine, 4 at a time. With antflow, the "
    "endpoint awaits `submit_nowait(..., expires_in=5)`; by hand, each step has an "
    "asyncio.Semaphore, and the second one `asyncio.to_thread`, without retries, statistics, a "
    "bound of what waits, or a time limit. How late the loop is, is measured by a task that sleeps "
    "for a millisecond again and again.",
    size_heading="requests",
    entries=(Entry("semaphores", 8_000), Entry("antflow-service", 8_000)),
    metrics=(TAKEN, PROCESSOR, RATE, LATE),
    measure=measure,
    at_most_rounds=5,
    compared=TAKEN.name,
    targets=(
        SpeedRatio(
            "at least 0.95 of the speed by hand", TAKEN.name, "antflow-service", "semaphores", 0.95
        ),
        AtMost("the loop is less than 10 ms late", LATE, "antflow-service", 10),
    ),
)
