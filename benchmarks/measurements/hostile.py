"""What hostile clients of the metrics cost the pipeline: slow, many, or asking without end."""

import asyncio
import os
import resource
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.work import no_op

STAGES, WORKERS = 100, 10
ITEMS = 5_000
PHASES = 3
QUIET = 1.0
PAGE = 4096  # bytes of a page of memory, in /proc

ATTACKS = {
    "silent": "1,000 silent",
    "slow": "a byte a second",
    "headers": "endless headers",
    "pipelined": "500 pipelined",
    "traversal": "paths to files",
    "descriptors": "no descriptors",
}
LOSSES = {name: Metric(name, f"{heading}, % lost", decimals=1) for name, heading in ATTACKS.items()}
THREADS = Metric("threads", "threads", decimals=0)
MEGABYTES = Metric("MB", "MB more", decimals=1)

CLIENT = r"""
import resource, socket, sys, time
from contextlib import suppress

resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
attack, port, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: a\r\n"

def connect():
    connection = socket.socket()
    connection.settimeout(1)
    connection.connect(("127.0.0.1", port))
    return connection

def silent():
    while len(kept) < 1000:
        kept.append(connect())
    time.sleep(0.1)

def slow():
    silent()
    for connection in kept:
        with suppress(OSError):
            connection.send(b"G")
    time.sleep(1)

def headers():
    with connect() as connection:
        connection.sendall(REQUEST)
        while True:
            connection.sendall(b"X: " + 8000 * b"a" + b"\r\n")

def pipelined():
    read(500 * (REQUEST + b"\r\n"))

def traversal():
    read(REQUEST.replace(b"/metrics", b"/../../../../etc/passwd") + b"\r\n")

def read(request):
    with connect() as connection:
        connection.sendall(request)
        while connection.recv(65536):
            pass

kept = []
while time.monotonic() < end:
    with suppress(OSError):
        globals()[attack]()
"""


@asynccontextmanager
async def _attacked(attack: str, port: int, seconds: float) -> AsyncIterator[None]:
    without_descriptors = attack == "descriptors"
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT),
        *("silent" if without_descriptors else attack, str(port), str(seconds + 0.5)),
    )
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if without_descriptors:
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        await asyncio.sleep(0.3)  # it starts
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await client.wait()


async def measure(contender: Contender, size: int) -> Figures:
    """Run no-op items again and again, with and without an attack, each time for some seconds."""
    program = contender.program()

    async def items_per_second(seconds: float) -> float:
        count, begin = 0, perf_counter()
        while (spent := perf_counter() - begin) < seconds:
            count += len(await program.collect(range(ITEMS), [no_op] * 3, WORKERS))
        return count / spent

    figures: dict[str, float] = {}
    threads = 0
    async with program.scraped(STAGES, WORKERS) as url:
        port = urlsplit(url).port or 0
        await items_per_second(QUIET)
        before = _megabytes()
        for attack in ATTACKS:
            ratios = []
            for _ in range(PHASES):
                quiet = await items_per_second(QUIET)
                async with _attacked(attack, port, size):
                    ratios.append(await items_per_second(size) / quiet)
                    threads = max(threads, threading.active_count())
            figures[attack] = (1 - median(ratios)) * 100
        figures[MEGABYTES.name] = _megabytes() - before
    return figures | {THREADS.name: threads}


def _megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


MEASUREMENT = Measurement(
    name="hostile",
    title="Hostile clients of the metrics",
    about="No-op items run through three stages, for some seconds under an attack on the server of "
    "the metrics and for one second without, three times each: the share of the items a second "
    "that is lost, in percent, as the median. The page has the metrics of 100 stages. The attacks: "
    "1,000 clients that connect and send nothing; 1,000 that send a byte a second; one that sends "
    "headers without end; one that sends 500 requests at once, again and again; one that asks for "
    "paths outside of the server, again and again; and 1,000 clients while the process has no "
    "free file descriptor. Threads at most, and how much memory is in use after all attacks.",
    size_heading="seconds",
    entries=(
        Entry("antflow-scraped", 3),
        Entry("antflow-scraped-by-the-library", 3),
    ),
    metrics=(*LOSSES.values(), THREADS, MEGABYTES),
    measure=measure,
    at_most_rounds=2,
    targets=tuple(
        AtMost(f"under 5% lost: {ATTACKS[name]}", metric, "antflow-scraped", 5.0)
        for name, metric in LOSSES.items()
    ),
)
