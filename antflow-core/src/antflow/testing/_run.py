"""One run with the plugins that a test names, and no others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from antflow._intake import Source
from antflow.pipeline import Pipeline
from antflow.stage import Stage
from antflow.types import PipelineResult

from ._chosen import chosen
from ._clock import Clock
from ._noted import faults_noted
from ._recorder import Recorder


class PluginFaultError(AssertionError):
    """A plugin raised in a run of a test."""


@dataclass(frozen=True, slots=True)
class PluginRun:
    """What came of a run.

    Args:
        pipeline: the pipeline, to be asked for `get_stats()` and the like.
        results: the successes, in input order.
        failures: what failed, in input order.
        recorder: every call of a hook, in order; the recorder that was given, if one was.
        seconds: how long the run took, on its clock.
        faults: what plugins raised, as text: once for each hook of each.
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
    """Run items through stages with the plugins named, and none of those that are installed.

    Waits take no time: see `Clock`.

    Args:
        stages: one, or several in order.
        items: as for `Pipeline.run`.
        plugins: objects, classes or modules, as for a Pipeline; or the names of installed ones.
        name: names the pipeline.
        dashboard: name of a display that one of the plugins has.
        clock: the time of the run; None for a new one.
        may_raise: whether a plugin may raise; what it raised is in `faults`.

    Raises:
        PluginFaultError: a plugin raised.
        LookupError: no plugin of a name is installed.
        PluginError: a plugin cannot be loaded, or cannot take part.
        StuckError: the run can never end.
        RuntimeError: an event loop runs here already.
        BaseException: whatever `Pipeline.run` raises.
    """
    clock, taking_part = clock or Clock(), [*map(chosen, plugins)]
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
    with faults_noted() as noted:
        results = clock.run(pipeline.run(items, dashboard=dashboard))
    if noted.texts and not may_raise:
        raise PluginFaultError("\n\n".join(noted.texts))
    seconds = clock.time() - began
    return PluginRun(pipeline, results, pipeline.failures, recorder, seconds, noted.texts)
