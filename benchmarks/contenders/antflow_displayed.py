"""antflow with the display that the environment variable `BENCH_DISPLAY` names, in a terminal."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from fcntl import ioctl
from struct import pack
from subprocess import DEVNULL, Popen
from termios import TIOCSWINSZ

from antflow import Pipeline
from antflow_rich import Rich
from benchmarks.contenders.antflow_pipeline import collect, stages
from benchmarks.contenders.interface import Task

__all__ = ["collect", "displayed"]

COLUMNS, LINES = 120, 40


async def displayed(items: Sequence[int], tasks: Sequence[Task], workers: int) -> Sequence[object]:
    """Return the results of `run`, which has been shown."""
    pipeline = Pipeline(stages(tasks, workers), plugins=[Rich()])
    with _terminal():
        return await pipeline.run(items, dashboard=os.environ["BENCH_DISPLAY"])


@contextmanager
def _terminal() -> Iterator[None]:
    """Have a terminal as standard error, and another process read what is written to it."""
    other_end, own_end = os.openpty()
    ioctl(own_end, TIOCSWINSZ, pack("HHHH", LINES, COLUMNS, 0, 0))
    before = sys.stderr
    with Popen(["cat"], stdin=other_end, stdout=DEVNULL, stderr=DEVNULL) as reader:
        os.close(other_end)
        with closing(os.fdopen(own_end, "w", encoding="utf-8")) as stream:
            sys.stderr = stream
            try:
                yield
            finally:
                sys.stderr = before
        reader.terminate()
