"""What can be read of the runs of one pipeline: results, failures, statistics, plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic

from antflow._engine.running.run import Run
from antflow._engine.workers.stage_runtime import (
    MAX_LISTED_WORKERS,
    WorkerNames,
    error_summary,
    unprocessed_items,
)
from antflow._errors.suggestions import explains_keywords
from antflow._task_types import Out_co
from antflow.dashboards import DashboardSnapshot, WorkerMetrics, WorkerState
from antflow.results import ErrorSummary, PipelineResult, UnprocessedItem
from antflow.stats import PipelineStats

from . import snapshot
from .run_control import RunControl


@explains_keywords("Pipeline", public_name="Pipeline")
class RunInspection(RunControl, Generic[Out_co]):
    """The part of `Pipeline` that reads its active run, or else its last one."""

    # Results of the last run

    def _last_run(self) -> Run | None:
        """Return the last run that was started; one that is only fed does not replace it."""
        run = self._run
        return run if run is None or not run.is_new else run.previous

    @property
    def results(self) -> list[PipelineResult[Out_co]]:
        """Successes of the last run, in input order.

        It is empty for a stream, or if results are not collected.
        """
        run = self._last_run()
        return run.results.kept() if run is not None else []

    @property
    def failures(self) -> list[PipelineResult]:
        """Items that failed in the last run, in input order.

        If the pipeline is fed or collects no results, only the latest 10,000 are kept. A stream
        yields its failures instead.
        """
        run = self._last_run()
        return run.results.kept_failures() if run is not None else []

    @property
    def unprocessed(self) -> list[UnprocessedItem]:
        """Items that the last run had accepted but not finished when it stopped."""
        run = self._last_run()
        return unprocessed_items(run.stages) if run is not None and run.is_over else []

    @property
    def undelivered(self) -> list[PipelineResult[Out_co]]:
        """Results that the last stream had not yielded when it was closed, in completion order."""
        run = self._last_run()
        return run.results.undelivered() if run is not None else []

    # Statistics and state

    @property
    def state(self) -> Any:
        """What the lifespan of the active run yielded.

        It is None before and after the run, and without a lifespan.
        """
        return None if self._run is None else self._run.state

    @property
    def run_id(self) -> str:
        """Identifies the run of `get_stats`, across processes; its events have the same one."""
        return self._current_run().dispatcher.run_id

    def get_stats(self) -> PipelineStats:
        """Return the statistics of the last run, or of the next one if it has been fed already."""
        return snapshot.pipeline_stats(self._current_run())

    def get_worker_names(self) -> dict[str, Sequence[str]]:
        """Return the names of all workers, by stage, now or in the last run; also before any run.

        They are lists, but for stages with more than 100,000 workers: there they are sequences that
        make a name when it is read.
        """
        if self._run is None:  # not to make one
            names = [WorkerNames(stage, range(stage.workers)) for stage in self.stages]
        else:
            names = [team.names for team in self._run.workers.teams]
        return {
            stage.name: of_stage if len(of_stage) > MAX_LISTED_WORKERS else of_stage[:]
            for stage, of_stage in zip(self.stages, names, strict=True)
        }

    def get_worker_states(self) -> dict[str, WorkerState]:
        """Return the present state of each worker, by the worker's name.

        Of a stage with more than 100,000 workers, only those that have been started are among them.
        """
        return snapshot.worker_states(self._current_run())

    def get_dashboard_snapshot(self) -> DashboardSnapshot:
        """Return workers, statistics and failures of the last run in one object."""
        return snapshot.dashboard_snapshot(self._current_run())

    def get_error_summary(self) -> ErrorSummary:
        """Return the failures of the last run: counts and details.

        The counts are exact. If not all failures are kept, the details cover the latest 10,000.
        """
        run = self._current_run()
        return error_summary(run.stages, run.results)

    @property
    def plugin_faults(self) -> dict[str, int]:
        """How many exceptions each plugin raised in the last run, by the plugin's name.

        The first exception of each hook is logged.
        """
        return dict(self._current_run().dispatcher.faults)

    def _on_fault(self, listener: Callable[[str], None]) -> None:  # for `antflow.exporting`
        """Call a function with the plugin's name at each further exception in the present run."""
        self._current_run().dispatcher.fault_listeners.append(listener)

    @property
    def plugin_names(self) -> tuple[str, ...]:
        """Names of the plugins, including those that took part in the last run only."""
        return tuple(self._current_run().lifecycle.plugins.plugins)

    def get_worker_metrics(self) -> dict[str, WorkerMetrics]:
        """Return the counts and times of each worker in the last run, by the worker's name.

        Of a stage with more than 100,000 workers, only those that have been started are among them.
        """
        return snapshot.worker_metrics(self._current_run())
