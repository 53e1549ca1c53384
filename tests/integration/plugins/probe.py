"""A program of a user: runs a pipeline, and prints as JSON what came of it and of the plugins.

Plain `probe.py` leaves the plugins to the environment. `--dashboard=NAME` asks for a display,
`--given` gives a `Good` to the pipeline, `--no-autoload` leaves out what is installed, and
`--cancelled` stops the run while a task waits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from antflow import Pipeline, PluginError, Stage

ITEMS = ["1", "two", "3"]
STUCK: list[str] = []


async def parse(text: str) -> int:
    if text == "never":
        STUCK.append(text)
        await asyncio.sleep(3600)
    return int(text)


async def double(number: int) -> int:
    return 2 * number


def make_pipeline(options: argparse.Namespace) -> Pipeline:
    given = [import_module("antflow_good").Good("given")] if options.given else []
    stages = [
        Stage("Parse", 1, [parse], task_attempts=2, task_wait_seconds=0),
        Stage("Double", 1, [double]),
    ]
    return Pipeline(stages, plugins=given, autoload=options.autoload)


async def run(pipeline: Pipeline, options: argparse.Namespace) -> list[Any]:
    if not options.cancelled:
        results = await pipeline.run(ITEMS, dashboard=options.dashboard)
    else:
        await pipeline.start()
        await pipeline.feed([*ITEMS, "never"])
        while not STUCK or pipeline.get_stats().items_processed < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)  # until the hooks have been called
        await pipeline.shutdown(timeout=0)
        results = pipeline.results
    return [result.value for result in results]


def about(error: BaseException | None) -> list[Any] | None:
    if isinstance(error, PluginError):
        return [type(error).__name__, error.plugin, error.hook, error.item_id]
    return None if error is None else [type(error).__name__, str(error)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dashboard")
    parser.add_argument("--given", action="store_true")
    parser.add_argument("--cancelled", action="store_true")
    parser.add_argument("--no-autoload", dest="autoload", action="store_false")
    options = parser.parse_args()

    results, caught = [], None
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        before = [name for name in sys.modules if name.startswith("antflow_")]
        pipeline = make_pipeline(options)
        make_pipeline(options)
    try:
        results = asyncio.run(run(pipeline, options))
    except (Exception, asyncio.CancelledError) as error:
        caught = error
    report = {
        "results": results,
        "failed": [item.item_id for item in pipeline.get_error_summary().failed_items],
        "faults": pipeline.plugin_faults,
        "error": about(caught),
        "warnings": [[note.category.__name__, str(note.message)] for note in noted],
        "warned_of": sorted({Path(note.filename).name for note in noted}),
        "early": before,
        "imported": sorted(name for name in sys.modules if name.startswith("antflow_")),
        "calls": getattr(sys.modules.get("antflow_good"), "CALLS", []),
    }
    sys.stdout.write("\n" + json.dumps(report))


if __name__ == "__main__":
    main()
