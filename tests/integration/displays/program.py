"""A program that shows its run, stops halfway until it is let go on, and says things meanwhile.

python program.py progress --gate FOLDER/go
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
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
    """

    def __init__(self, count: int, gate: Path | None) -> None:
        self.half = count // 2
        self.gate = gate

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
        return page


class Unprintable:
    def __str__(self) -> str:
        raise SystemExit("no text of it")


async def main(options: argparse.Namespace) -> None:
    work = Work(options.items, options.gate)
    stages = [
        Stage(name="Fetch", workers=4, tasks=[work.fetch]),
        Stage(name="Parse", workers=2, tasks=[work.parse]),
        Stage(name="Store", workers=1, tasks=[work.store]),
    ]
    pipeline = Pipeline(stages, name="pages")
    shown = {"progress": True} if options.display == "progress" else {"dashboard": options.display}
    items = range(options.items)
    results = await pipeline.run(iter(items) if options.unknown else items, **shown)
    print(f"total {sum(result.value for result in results)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("display")
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--gate", type=Path)
    parser.add_argument(
        "--unknown", action="store_true", help="do not say how many items there are"
    )
    asyncio.run(main(parser.parse_args()))
