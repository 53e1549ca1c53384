"""Fixed views: a run in the middle, at its beginning, at its end; small and large ones."""

from __future__ import annotations

from dataclasses import replace
from math import pi, sin

from antflow_rich._views import ErrorGroup, Failure, ItemCounts, RunView, StageView, WorkerView

STAGES = (
    StageView(
        "Fetch", 20, 3, 3, 100, 100, 6_342, 4, 31, 412.0, 0.048, 0.31,
        (0.16, 0.02, 0.80, 0.02), (0.2, 0.02, 0.75, 0.03),
    ),
    StageView(
        "Parse", 8, 8, 8, 80, 80, 6_250, 1, 0, 411.0, 0.019, 0.024,
        (0.98, 0.0, 0.0, 0.02), (0.96, 0.0, 0.0, 0.04), True,
    ),
    StageView(
        "Enrich", 12, 4, 7, 2, 120, 6_228, 0, 118, 409.0, 0.0071, 0.042,
        (0.34, 0.22, 0.0, 0.44), (0.3, 0.2, 0.0, 0.5),
    ),
    StageView(
        "Store", 4, 1, 1, 0, 40, 6_209, 0, 0, 409.0, 0.0021, 0.0048,
        (0.22, 0.0, 0.0, 0.78), (0.2, 0.0, 0.0, 0.8),
    ),
)  # fmt: skip

MESSAGES = {
    "ConnectionError": "the host did not answer within 10 s",
    "UnicodeDecodeError": "'utf-8' codec can't decode byte 0xe9 in position 1044: unexpected end",
}
REFUSED = ("Fetch", "ConnectionError", MESSAGES["ConnectionError"], 3)
UNREADABLE = ("Parse", "UnicodeDecodeError", MESSAGES["UnicodeDecodeError"], 1)
FAILURES = (
    Failure("order-6201", *REFUSED, 1.4, "orders.py:24, in fetch"),
    Failure("order-5988", *UNREADABLE, 3.2, "orders.py:31, in parse"),
    Failure("order-5310", *REFUSED, 9.1, "orders.py:24, in fetch"),
    Failure("order-2214", *REFUSED, 12.0, "orders.py:24, in fetch"),
    Failure("order-0042", *REFUSED, 14.6, "orders.py:24, in fetch"),
)
GROUPS = (
    ErrorGroup("ConnectionError", 4, FAILURES[0]),
    ErrorGroup("UnicodeDecodeError", 1, FAILURES[1]),
)


def worker(number: int) -> WorkerView:
    """Return one of the workers that hold an item."""
    stage, size = [("Fetch", 20), ("Parse", 8), ("Enrich", 12), ("Store", 4)][number % 4]
    doing = {
        "Fetch": f"GET /orders/{6201 + number}, {number * 7 % 90} of 96 kB",
        "Parse": "parse",
        "Enrich": "waiting for the price list",
        "Store": "insert",
    }[stage]
    return WorkerView(
        f"{stage}-W{number // 4 % size}", stage, f"order-{6201 + number}", doing,
        1 + (number % 5 == 0), 4.2 / (1 + number / 3), 300 + 11 * number, number % 7 == 0,
        0.04 + number / 900,
    )  # fmt: skip


def idle(number: int) -> WorkerView:
    return WorkerView(f"Store-W{number}", "Store", completed=1550, mean=0.0022)


HISTORY = tuple(
    (60 + 20 * at if at < 18 else 415 + 40 * sin(at / 2.3) + 30 * sin(at * pi / 1.7)) * (at != 20)
    for at in range(31)
)

MIDWAY = RunView(
    name="orders",
    counts=ItemCounts(10_000, 6_400, 6_209, 5),
    elapsed=15.3,
    rate=409.0,
    seconds_left=9.2,
    stages=STAGES,
    workers=(*map(worker, range(19)), *map(idle, range(1, 4))),
    busy_workers=19,
    groups=GROUPS,
    failures=FAILURES,
    history=HISTORY,
    span=0.5,
)
ENDLESS = replace(MIDWAY, counts=ItemCounts(None, 6_400, 6_209, 5), seconds_left=None)
READING = replace(MIDWAY, counts=ItemCounts(None, 6_400, 6_209, 5, input_fraction=0.508))
"""A file of which half has been read."""
WITHOUT_ERRORS = replace(
    MIDWAY, counts=ItemCounts(10_000, 6_400, 6_214), groups=(), failures=(),
    stages=tuple(replace(stage, failed=0) for stage in STAGES),
)  # fmt: skip
BEGINNING = RunView("orders", ItemCounts(10_000), stages=tuple(
    StageView(stage.name, stage.workers, capacity=stage.capacity) for stage in STAGES
))  # fmt: skip
ENDED = replace(
    MIDWAY,
    counts=ItemCounts(10_000, 10_000, 9_988, 12),
    elapsed=24.4,
    rate=409.8,
    seconds_left=None,
    stages=tuple(replace(stage, is_bottleneck=False) for stage in STAGES),
    groups=(replace(GROUPS[0], count=11), GROUPS[1]),
)
STOPPED = replace(
    ENDED,
    counts=ItemCounts(10_000, 6_400, 6_209, 5, unprocessed=186),
    elapsed=15.3,
    rate=406.1,
    groups=GROUPS,
    faults={"journal": 3},
    was_interrupted=True,
)
LARGE = replace(
    MIDWAY,
    name="nightly import of every order of the year",
    counts=ItemCounts(12_500_000, 8_400_000, 8_209_411, 190_214, 120),
    elapsed=93_784.0,
    seconds_left=51_000.0,
    rate=1404.0,
    stages=tuple(
        replace(
            STAGES[at % 4],
            name=f"Import orders of region {at}",
            workers=200 + at,
            in_progress=199,
            pending=1999 - at,
            capacity=2000,
            completed=8_209_411 - at,
            failed=190_214 if at == 17 else 0,
            is_bottleneck=at == 13,
        )
        for at in range(30)
    ),
    workers=tuple(map(worker, range(200))),
    busy_workers=5_985,
    groups=tuple(ErrorGroup(f"Error{at}", 4000 - at, FAILURES[at % 5]) for at in range(40)),
    failures=FAILURES * 20,
    history=tuple(1404 + 300 * sin(at / 9) for at in range(240)),
    span=512.0,
    faults={"journal": 17},
)  # fmt: skip
"""Thirty stages, six thousand workers, two hundred thousand failures."""

VIEWS = {
    "midway": MIDWAY,
    "endless": ENDLESS,
    "reading": READING,
    "without errors": WITHOUT_ERRORS,
    "beginning": BEGINNING,
    "ended": ENDED,
    "stopped": STOPPED,
    "large": LARGE,
}
