"""Tools for testing plugins.

`check_plugin` checks a plugin against the rules. `run_pipeline` runs items with the plugins that
you name and no others; `run_command` does so by `antflow run`, which needs antflow-cli. `Recorder`
remembers every call of a hook. With a `Clock`, waits take no real time. For pytest there are
fixtures: `antflow_run`, `antflow_recorder`, `antflow_clock`.
"""

from ._check import check_plugin
from ._command_run import CommandRun, run_command
from ._plugin_run import PluginFaultError, PluginRun, run_pipeline
from ._problems import PluginProblemsError, PluginReport, Problem, ProblemKind
from ._recorder import HookCall, Recorder
from ._virtual_clock import Clock, ClockLoop, StuckError

__all__ = [
    "Clock",
    "ClockLoop",
    "CommandRun",
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
    "run_command",
    "run_pipeline",
]
