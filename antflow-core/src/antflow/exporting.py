"""What an exporter of metrics needs: the runs of this process, summed, as samples.

`RunTotals` adds up the statistics of runs. An exporter gives it each run that starts and ends, and
reads samples when it is asked for metrics, or at intervals.
"""

from ._exporting.forks import Resettable, reset_after_fork
from ._exporting.labels import OTHER, LabelLimiter
from ._exporting.measurements import Sample, yield_gil
from ._exporting.metrics import METRICS, Metric
from ._exporting.run_totals import RunTotals

__all__ = [
    "METRICS",
    "OTHER",
    "LabelLimiter",
    "Metric",
    "Resettable",
    "RunTotals",
    "Sample",
    "reset_after_fork",
    "yield_gil",
]
