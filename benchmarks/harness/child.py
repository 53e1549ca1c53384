"""The program of a contender's process: one measurement, one contender, one line of JSON."""

import asyncio
import json
import sys

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.harness.model import Figures, Measurement
from benchmarks.measurements import MEASUREMENTS


class OtherLoopError(Exception):
    """The event loop is not the one of the standard library, so the figures would not compare."""


async def _measured(measurement: Measurement, contender: Contender, size: int) -> Figures:
    loop = type(asyncio.get_running_loop())
    if not loop.__module__.startswith("asyncio."):
        raise OtherLoopError(f"{contender.name} runs on {loop.__module__}.{loop.__name__}")
    return await measurement.measure(contender, size)


def main(arguments: list[str]) -> None:
    """Take the names of a measurement and a contender, and a size."""
    measurement, contender = MEASUREMENTS[arguments[0]], CONTENDERS[arguments[1]]
    figures = asyncio.run(_measured(measurement, contender, int(arguments[2])))
    print(json.dumps({"figures": figures, "version": contender.version()}))


if __name__ == "__main__":
    main(sys.argv[1:])
