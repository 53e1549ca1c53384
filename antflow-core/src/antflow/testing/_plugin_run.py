"""`run_pipeline`: one run with the plugins that a test names, and no others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from antflow._engine.feeding.sources import Source
from antflow.pipeline import Pipeline
from antflow.results import PipelineResult
from antflow.stage import Stage

from ._fault_capture import capture_faults
from ._plugin_lookup import resolve_plugin
from ._recorder import Recorder
from ._virtual_clock import Clock


class PluginFaultError(AssertionError):
    """A plugin raised an exception in a test run; the text shows it."""


@dataclass(frozen=True, slots=True)
class PluginRun:
    """The outcome of a test run.

    Args:
        pipeline: the pipeline, for `get_stats()` and the like.
        results: the successes, in input order.
        failures: the items that failed, in input order.
        recorder: has every call of a hook, in order; the Recorder among the plugins, or else a new
            one.
        seconds: how long the run took, in seconds of its clock.
        faults: the exceptions of plugins as text, one for each hook of each plugin.
    """

    pipeline: Pipeline
    results: list[PipelineResult]
    failures: list[PipelineResult]
    recorder: Recorder
    seconds: float
    faults: list[str]


def run_pipeline(
    stages: Stage | Iterable[Stage],
    items: Source,
    plugins: Iterable[object] = (),
    *,
    name: str = "pipeline",
    dashboard: str | None = None,
    clock: Clock | None = None,
    may_raise: bool = False,
) -> PluginRun:
    """Run items through stages with the given plugins only; installed plugins do not take part.

    Waits take no time: see `Clock`.

    Args:
        stages: one stage, or several in order.
        items: as for `Pipeline.run`.
        plugins: objects, classes or modules, as for a Pipeline; or names of installed plugins.
        name: the pipeline's name.
        dashboard: name of a display of one of the plugins.
        clock: gives the time of the run; None for a new one.
        may_raise: whether plugins may raise exceptions, which are then in `faults`.

    Returns:
        The outcome of the run.

    Raises:
        PluginFaultError: a plugin raised an exception.
        LookupError: no plugin with a given name is installed.
        PluginError: a plugin cannot be loaded, or cannot take part.
        StuckError: the run can never end.
        RuntimeError: an event loop is running already.
        BaseException: as from `Pipeline.run`.
    """
    clock, taking_part = clock or Clock(), [*map(resolve_plugin, plugins)]
    recorder = next((each for each in taking_part if isinstance(each, Recorder)), None)
    if recorder is None:
        recorder = Recorder()
        taking_part.insert(0, recorder)
    pipeline = Pipeline(
        [stages] if isinstance(stages, Stage) else stages,
        name=name,
        plugins=taking_part,
        autoload=False,
    )
    began = clock.time()
    with capture_faults() as capture:
        results = clock.run(pipeline.run(items, dashboard=dashboard))
    if capture.texts and not may_raise:
        raise PluginFaultError("\n\n".join(capture.texts))
    seconds = clock.time() - began
    return PluginRun(pipeline, results, pipeline.failures, recorder, seconds, capture.texts)
