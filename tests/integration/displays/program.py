"""A program that shows its run, stops halfway until it is let go on, and says things meanwhile.

python program.py progress --gate FOLDER/go
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from antflow import Pipeline, Stage, set_task_status

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
logger = logging.getLogger("program")


class EmptyPageError(Exception):
    """There is nothing on a page."""


class Work:
    """The tasks.

    Args:
        count: how many items there are.
        gate: a file; until it exists, the second half of the items does not get through.
        event: what happens at page 15, of `EVENTS`.
    """

    def __init__(self, count: int, gate: Path | None, event: str) -> None:
        self.half = count // 2
        self.gate = gate
        self.event = EVENTS[event]

    async def fetch(self, page: int) -> int:
        if page >= self.half and self.gate is not None:
            set_task_status(f"waiting for page {page}")
            while not self.gate.exists():
                await asyncio.sleep(0.02)
        return page

    async def parse(self, page: int) -> int:
        if page % 10 == 3:
            raise EmptyPageError(f"page {page} is empty")
        return page

    async def store(self, page: int) -> int:
        if page % 10 == 5:
            print(f"printed {page}")
            logger.info("logged %s", page)
        if page == 15:
            self.event()
        return page


def by_another_program() -> None:
    subprocess.run(["echo", "said by another program"], check=True)


def leave() -> None:
    raise SystemExit(3)


def spoil_the_display() -> None:
    """Have the next frame fail."""

    def fail(*_: object) -> list[object]:
        raise RuntimeError("the picture is spoiled")

    from rich.text import Text

    Text.render = fail  # type: ignore[method-assign,assignment]


EVENTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "another program": by_another_program,
    "exit": leave,
    "spoiled display": spoil_the_display,
}


async def main(options: argparse.Namespace) -> None:
    work = Work(options.items, options.gate, options.event)
    stages = [
        Stage(name="Fetch", workers=4, tasks=[work.fetch]),
        Stage(name="Parse", workers=2, tasks=[work.parse], task_attempts=1),
        Stage(name="Store", workers=1, tasks=[work.store]),
    ]
    pipeline = Pipeline(stages, name="pages")
    shown = {"progress": True} if options.display == "progress" else {"dashboard": options.display}
    results = await pipeline.run(range(options.items), **shown, dashboard_update_interval=0.1)
    print(f"total {sum(result.value for result in results)}")


async def stop(is_to_stop: Callable[[], bool]) -> None:
    while not is_to_stop():
        await asyncio.sleep(0.02)
    asyncio.get_running_loop().stop()


def abandon(options: argparse.Namespace) -> None:
    """Stop the loop in the middle of the run, and leave both behind."""
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(main(options)), loop.create_task(stop(options.abandon.exists))]
    loop.run_forever()
    print(f"left {len(tasks)} alone")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("display")
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--gate", type=Path)
    parser.add_argument("--event", choices=EVENTS, default="")
    parser.add_argument("--abandon", type=Path, help="leave the run when that file exists")
    arguments = parser.parse_args()
    if arguments.abandon:
        abandon(arguments)
    else:
        asyncio.run(main(arguments))
