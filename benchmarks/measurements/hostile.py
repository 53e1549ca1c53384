"""What hostile clients of the metrics cost the pipeline: slow, many, or asking without end."""

import asyncio
import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from time import monotonic, process_time, thread_time
from typing import BinaryIO
from urllib.parse import urlsplit

from benchmarks.contenders import Contender
from benchmarks.contenders.interface import Program
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.work import no_op

STAGES, WORKERS = 100, 10
ITEMS = 1_000
PHASE = 4.0
SETTLE = 2.2  # seconds after which the phase before has no effect: a backlog lasts two
PAGE = 4096  # bytes of a page of memory, in /proc

ATTACKS = ("silent", "slow", "headers", "lines", "pipelined", "paths", "descriptors")

LOSSES = {
    "wall": Metric("wall", "% lost", decimals=1),
    "loop": Metric("loop", "% lost of a CPU second of the loop", decimals=1),
    "running": Metric("running", "% lost but for waits for a core", decimals=1),
}
"""The share of the items that is lost, of those in a second of one kind."""

SPREAD = Metric("spread", "spread: half of the pairs within +-", decimals=1)
SERVER = Metric("server", "% of a core used by the server", decimals=1)
CORES = Metric("cores", "cores used")
THREADS = Metric("threads", "threads", decimals=0)
MEGABYTES = Metric("MB", "MB more", decimals=1)

CLIENT = r"""
import os, resource, socket, sys, time
from collections import deque
from contextlib import suppress

os.nice(19)  # it takes no share of a core from the pipeline
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
attack, port, begin, end, phase = sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:])
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: a\r\n"
SENT = {
    "headers": REQUEST + 20 * (b"X: " + 8000 * b"a" + b"\r\n"),
    "lines": REQUEST + 1400 * b"X: aaaaa\r\n" + b"\r\n",
    "pipelined": 500 * (REQUEST + b"\r\n"),
    "paths": REQUEST.replace(b"/metrics", b"/../../../../etc/passwd") + b"\r\n",
}

def ask():
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(SENT[attack])
        while connection.recv(65536):
            pass

def wait(byte):
    for _ in range(10):
        kept.append(socket.socket())
        kept[-1].setblocking(False)
        kept[-1].connect_ex(("127.0.0.1", port))
    while len(kept) > 1000:
        kept.popleft().close()
    for connection in list(kept)[tick % 100 :: 100]:
        with suppress(OSError):
            connection.send(byte)

kept, tick = deque(), 0
while (now := time.monotonic()) < end:
    if now < begin or int((now - begin) / phase) % 2 == 0:
        kept.clear()
    elif attack in SENT:
        ask()
    else:
        wait(b"G" if attack == "slow" else b"")
    tick += 1
    time.sleep(0.01)
"""

Seconds = dict[str, float]


async def measure(contender: Contender, size: int) -> Figures:
    """Run no-op items in pairs of phases, one calm and one attacked, and compare the two."""
    attack, size = os.environ["BENCH_ATTACK"], max(size, 2)  # two for a spread
    program = contender.program()
    rates, used = [], []
    threads = 0
    with _open_schedule() as schedule:
        async with program.scraped(STAGES, WORKERS) as url:
            before = _megabytes()
            begin = monotonic() + 0.5
            end = begin + 2 * size * PHASE
            client = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", CLIENT, attack, str(urlsplit(url).port)),
                *map(str, (begin, end, PHASE)),
            )
            for number in range(2 * size):
                at = begin + number * PHASE
                with _descriptors(are_free=attack != "descriptors" or number % 2 == 0):
                    await _run(program, at + SETTLE)
                    before_phase = _seconds(schedule)
                    items = await _run(program, at + PHASE)
                    now = _seconds(schedule)
                spent = {name: now[name] - before_phase[name] for name in now}
                used.append(spent)
                rates.append({name: items / spent[name] for name in LOSSES})
                threads = max(threads, threading.active_count())
            megabytes = _megabytes() - before
            await client.wait()
    pairs = list(zip(rates[::2], rates[1::2], strict=True))
    lost = {name: [(1 - now[name] / calm[name]) * 100 for calm, now in pairs] for name in LOSSES}
    lower, _, upper = quantiles(lost["running"])
    return {name: median(each) for name, each in lost.items()} | {
        SPREAD.name: (upper - lower) / 2,
        SERVER.name: median(_share(each) for each in used[1::2]),
        CORES.name: median(each["process"] / each["wall"] for each in used),
        THREADS.name: threads,
        MEGABYTES.name: megabytes,
    }


async def _run(program: Program, end: float) -> int:
    """Run items until a moment, and return their number."""
    count = 0
    while monotonic() < end:
        count += len(await program.collect(range(ITEMS), [no_op] * 3, WORKERS))
    return count


def _open_schedule() -> BinaryIO:
    """Open the file of this thread's waits, which stays open for when no descriptor is free."""
    return Path("/proc/thread-self/schedstat").open("rb", buffering=0)


def _seconds(schedule: BinaryIO) -> Seconds:
    """Return the seconds of each kind so far."""
    schedule.seek(0)
    waited = int(schedule.read(100).split()[1]) / 1e9
    now = monotonic()
    return {
        "wall": now,
        "running": now - waited,
        "loop": thread_time(),
        "process": process_time(),
    }


def _share(used: Seconds) -> float:
    return (used["process"] - used["loop"]) / used["wall"] * 100


@contextmanager
def _descriptors(*, are_free: bool) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft if are_free else lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


ENTRIES = [Entry(f"antflow-attacked-{attack}", 8) for attack in ATTACKS]

MEASUREMENT = Measurement(
    name="hostile",
    title="Hostile clients of the metrics",
    about="No-op items run through three stages, in phases of which every second is attacked by "
    "a process of low priority; the server has the metrics of 100 stages. Compared are the items "
    "of two neighbouring phases: by the second, by the CPU second of the event loop's thread, and "
    "by the second without the time for which that thread waited for a core; the table shows "
    "medians of all pairs, and the spread of the last. It also shows how much of a core the "
    "attacked server uses, which is what the pipeline loses if only one thread can run, and which "
    "other programs hardly change. The attacks: 1,000 connections a second, 1,000 of them open, "
    "that send nothing, or a byte a second each; one client after the other that sends 160 kB of "
    "headers, 14 kB of short ones, or 500 requests at once, or asks for paths outside of the "
    "server; and 1,000 silent connections while the process has no free file descriptor.",
    size_heading="pairs",
    entries=ENTRIES,
    metrics=(*LOSSES.values(), SPREAD, SERVER, CORES, THREADS, MEGABYTES),
    measure=measure,
    at_most_rounds=1,  # a round takes seven minutes
    targets=[
        AtMost(f"under 5%: {attack}", metric, entry.key, 5.0)
        for attack, entry in zip(ATTACKS, ENTRIES, strict=True)
        for metric in (LOSSES["running"], SERVER)
    ],
)
