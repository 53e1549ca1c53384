"""What both programs over lines run: one stage that does nothing, and a note of the peak."""

import atexit
import os
from pathlib import Path

from antflow import Pipeline, Stage
from benchmarks.measurements.memory import peak_kilobytes
from benchmarks.measurements.work import WORKERS


async def no_op(value: object) -> object:
    return value


def pipeline() -> Pipeline:
    """The pipeline; when the process ends, the memory that it took is written to a file."""
    atexit.register(lambda: Path(os.environ["BENCH_PEAK"]).write_text(str(peak_kilobytes())))
    return Pipeline([Stage("NoOp", WORKERS, [no_op])])
