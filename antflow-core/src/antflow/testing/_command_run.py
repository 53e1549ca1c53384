"""`run_command`: one `antflow run` with the plugins that a test names, and no others."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from antflow import _command
from antflow._plugins.discovery import INSTALLED, InstalledPlugin
from antflow._plugins.plugin_set import resolve
from antflow._plugins.validation import hooks_of
from antflow.logs import UNPROCESSED_LOGGER
from antflow.pipeline import Pipeline
from antflow.stage import Stage

from ._plugin_lookup import resolve_plugin

PROGRAM = "antflow_testing_program"
"""The module that is the program of the command while it runs."""

CHANGED_LOGGERS = ("", UNPROCESSED_LOGGER)
"""The loggers that the command configures."""


@dataclass(frozen=True, slots=True)
class CommandRun:
    """The outcome of a test run of the command.

    Args:
        exit_code: of the command.
        results: the lines of `--output`, each parsed.
        failures: the lines of `--failures`, each parsed.
        printed: what was printed on standard output.
        messages: what was printed on standard error: warnings, the report, and log records.
    """

    exit_code: int
    results: list[Any]
    failures: list[Any]
    printed: str
    messages: str


def run_command(
    stages: Stage | Iterable[Stage],
    items: Iterable[Any],
    plugins: Iterable[object] = (),
    options: Sequence[str] = (),
) -> CommandRun:
    """Run items through stages as `antflow run` does, with the given plugins only.

    The plugins add their options, are configured, and take part in the run. It runs in this
    process, in real time, and only in the main thread, since it handles signals.

    Args:
        stages: one stage, or several in order.
        items: the items, as the program's `items`.
        plugins: objects, classes or modules, as for a Pipeline; or names of installed plugins.
        options: further arguments of the command line, such as "--ordered" or a plugin's option.

    Returns:
        The outcome. Wrong usage has exit code 2, as on the command line.

    Raises:
        LookupError: no plugin of a given name is installed.
        ModuleNotFoundError: antflow-cli, which has the command, is not installed.
        PluginError: a plugin cannot be loaded, or cannot take part.
        RuntimeError: an event loop is running already.
        ValueError: this is not the main thread.
    """
    if asyncio._get_running_loop() is not None:  # noqa: SLF001 - documented, and raises nothing
        raise RuntimeError(
            "The command runs an event loop of its own, and one runs here already; make the test a "
            "plain function (def, not async def)"
        )
    program = ModuleType(PROGRAM)
    found = tuple(
        InstalledPlugin(name, "test", "0", name, "active", hooks=hooks_of(plugin), plugin=plugin)
        for name, plugin in resolve(map(resolve_plugin, plugins), PROGRAM).items()
    )
    definition = [stages] if isinstance(stages, Stage) else [*stages]
    printed, messages = StringIO(), StringIO()
    with TemporaryDirectory() as folder, _program(program), INSTALLED.replaced(found):
        # A function, since the command leaves plugins out before it calls it.
        vars(program).update(pipeline=lambda: Pipeline(definition), items=items)
        output, failures = Path(folder, "output"), Path(folder, "failures")
        files = ("--output", str(output), "--failures", str(failures))
        with _unchanged_process(), redirect_stdout(printed), redirect_stderr(messages):
            code = _exit_code((f"{PROGRAM}:pipeline", *files, *options))
        return CommandRun(
            code, _lines(output), _lines(failures), printed.getvalue(), messages.getvalue()
        )


def _exit_code(arguments: Sequence[str]) -> int:
    try:
        code: int = _command.load().main(["run", *arguments])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return code


def _lines(file: Path) -> list[Any]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@contextmanager
def _program(module: ModuleType) -> Iterator[None]:
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        del sys.modules[module.__name__]


@contextmanager
def _unchanged_process() -> Iterator[None]:
    """Restore what the command changes: environment, import path, and logging."""
    environ, path = dict(os.environ), [*sys.path]
    loggers = [logging.getLogger(name) for name in CHANGED_LOGGERS]
    settings = [(logger, logger.level, [*logger.handlers]) for logger in loggers]
    try:
        yield
    finally:
        for logger, level, handlers in settings:
            logger.setLevel(level)
            for added in set(logger.handlers).difference(handlers):
                logger.removeHandler(added)
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(environ)
