"""The kit for those who write plugins: runs with the plugins named, and checks of a plugin.

`run_pipeline` runs items with the plugins that are named and no others, `Recorder` remembers every
call of a hook, `check_plugin` holds a plugin against the rules, and with a `Clock` waits take no
time. With pytest there are fixtures of these: `antflow_run`, `antflow_recorder`, `antflow_clock`.
"""

from ._check import check_plugin
from ._clock import Clock, StuckError
from ._problems import PluginProblemsError, PluginReport, Problem, ProblemKind
from ._recorder import HookCall, Recorder
from ._run import PluginFaultError, PluginRun, run_pipeline

__all__ = [
    "Clock",
    "HookCall",
    "PluginFaultError",
    "PluginProblemsError",
    "PluginReport",
    "PluginRun",
    "Problem",
    "ProblemKind",
    "Recorder",
    "StuckError",
    "check_plugin",
    "run_pipeline",
]
