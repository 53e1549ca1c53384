"""`antflow run`: checks the options, opens the files, and runs the pipeline."""

from __future__ import annotations

import asyncio
import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, nullcontext
from functools import partial
from importlib import import_module

from antflow.logs import UNPROCESSED_LOGGER, TerminalFormatter

from ._children import PrivateFiles
from ._execution import Execution, Items, OpenFiles
from ._files import (
    STDIN,
    STDOUT,
    FileError,
    StandardInput,
    check_distinct,
    check_empty,
    check_messages,
    check_names,
    descriptor_number,
    end_last_line,
    inherited_descriptor,
    is_standard_input,
    keep_standard_input,
    open_input,
    open_output,
    redirect_printing,
    reserve_standard_descriptors,
)
from ._main_task import MainTask
from ._options import STANDARD, run_parser
from ._plugin_options import PluginOptions
from ._printing import print_err
from ._python_messages import escape_python_messages
from ._signals import exit_in_time, exit_now, interruptible
from ._target import Target, TargetError, TaskOptions, load

INTERRUPTED = 130

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(arguments: Sequence[str], *, is_process: bool = False) -> int:
    """Run `antflow run`, and return its exit code.

    Args:
        arguments: of the command line, after `run`.
        is_process: whether the command is the whole process, which may be ended then.
    """
    reserve_standard_descriptors()
    if is_process:
        escape_python_messages()
    parser = run_parser()
    try:
        with _apart_from_plugins():
            plugins = PluginOptions(parser, arguments)
        options = plugins.parse()
        _check(options, parser)
        with _apart_from_plugins() as standard_output, _temporary_logging(options.log_level):
            plugins.configure(options, standard_output)
        return _run(options, is_process=is_process)
    except TargetError as error:
        if error.traceback:
            print_err(error.traceback.rstrip())
        parser.error(str(error))
    except (FileError, UsageError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED


class UsageError(Exception):
    """The options cannot be followed; the text says why, and how to fix it."""


def _check(options: Namespace, parser: ArgumentParser) -> None:
    if options.target is None:
        parser.error("TARGET is missing; write module:pipeline or file.py:pipeline")
    if options.items and options.input is not None:
        parser.error("there are both items and --input; give one of them")
    if options.items and options.lines:
        parser.error("--lines is about --input; items after TARGET are text already")


def _run(options: Namespace, *, is_process: bool) -> int:
    loop_factory = _loop_factory(options.loop)
    is_standard = inherited_descriptor(options.output) == STDOUT
    reads_stdin = _may_read_stdin(options)
    private = PrivateFiles()
    private.add(STDIN if reads_stdin else None, *_inherited_files(options))
    # All before the import of the program, which may read, print and start child processes.
    with (
        private.kept(),
        keep_standard_input() if reads_stdin else nullcontext() as standard_input,
        redirect_printing(restores=not is_process)
        if is_standard
        else nullcontext(STDOUT) as standard_output,
    ):
        check_names(options)
        target = load(options.target)
        if standard_input is not None and options.input is None and target.has_items:
            standard_input.give_to_program()  # `items` may read it
        _configure_logging(options.log_level)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            main = MainTask()
            execution, code = main.run(
                runner,
                _execute(
                    target,
                    options,
                    standard_input,
                    standard_output,
                    private,
                    main,
                    is_process=is_process,
                ),
            )
            if is_process and execution.is_cut_short:
                exit_in_time(code)
                _close(runner, code)
            return code


def _may_read_stdin(options: Namespace) -> bool:
    """Return whether items come from standard input unless the program has `items`."""
    if options.input is not None:
        return is_standard_input(options.input)
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    return not options.items and not is_terminal


def _inherited_files(options: Namespace) -> Iterator[int | None]:
    """Yield the descriptors that the options name, such as 3 of /dev/fd/3."""
    if options.input is not None and not is_standard_input(options.input):
        yield inherited_descriptor(options.input)
    yield inherited_descriptor(options.output)
    if options.failures is not None:
        yield inherited_descriptor(options.failures)


@contextmanager
def _apart_from_plugins() -> Iterator[int]:
    """Keep standard input and output from plugins, and from the processes that they start.

    Yields:
        A descriptor of the real standard output.
    """
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    with (
        nullcontext() if is_terminal else keep_standard_input(),
        nullcontext(STDOUT) if sys.__stdout__ is None else redirect_printing() as standard_output,
    ):
        yield standard_output


def _close(runner: asyncio.Runner, code: int) -> None:
    try:
        runner.close()
    except KeyboardInterrupt:  # all is written and reported, so a further signal ends the process
        exit_now(code)


@contextmanager
def _temporary_logging(level: str) -> Iterator[None]:
    """Log to standard error until the program, which may configure logging, is imported."""
    root = logging.getLogger()
    before = list(root.handlers)
    _configure_logging(level)
    added = [handler for handler in root.handlers if handler not in before]
    try:
        yield
    finally:
        for handler in added:
            root.removeHandler(handler)


def _configure_logging(level: str) -> None:
    """Log to standard error unless the program has configured logging."""
    handler = logging.StreamHandler()
    handler.setFormatter(TerminalFormatter("%(levelname)s: %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # The run warns of unprocessed items, which the report of the command has, too.
    logging.getLogger(UNPROCESSED_LOGGER).setLevel(logging.ERROR)


async def _execute(
    target: Target,
    options: Namespace,
    standard_input: StandardInput | None,
    standard_output: int,
    private: PrivateFiles,
    main: MainTask,
    *,
    is_process: bool,
) -> tuple[Execution, int]:
    task_options = TaskOptions(options.retries, options.retry_wait, options.timeout, options.limit)
    async with AsyncExitStack() as entered:
        pipeline = await target.pipeline(task_options, entered)
        descriptor, items = await _open_input(target, options, standard_input)
        with ExitStack() as refusal:
            with interruptible():
                files = _open_outputs(options, descriptor, items, standard_output, refusal)
            private.add(files.input, files.output, files.failures)
            try:
                execution = Execution(
                    pipeline,
                    options,
                    files,
                    entered.aclose,
                    is_task=target.is_task,
                    is_process=is_process,
                )
            except ValueError as error:
                raise UsageError(str(error)) from error
            if options.append:
                end_last_line(options.output, "--output", files.output)
                if files.failures is not None:
                    end_last_line(options.failures, "--failures", files.failures)
            refusal.pop_all()
        main.on_loop_end = execution.stop
        return execution, await execution.run()


def _open_outputs(
    options: Namespace,
    descriptor: int | None,
    items: Items,
    standard_output: int,
    refusal: ExitStack,
) -> OpenFiles:
    open_one = partial(
        open_output, standard_output=standard_output, append=options.append, refusal=refusal
    )
    output, failures = open_one(options.output, "--output"), None
    if options.failures is not None:
        failures = open_one(options.failures, "--failures")
    is_standard = inherited_descriptor(options.output) == STDOUT
    check_distinct(
        {
            "standard input"
            if is_standard_input(options.input or STANDARD)
            else "--input": descriptor,
            "standard output" if is_standard else "--output": output,
            "--failures": failures,
        }
    )
    opened = {"--output": (options.output, output), "--failures": (options.failures, failures)}
    check_messages(
        {
            option: descriptor
            for option, (name, descriptor) in opened.items()
            if descriptor is not None and inherited_descriptor(name) is None
        }
    )
    if not (options.append or options.overwrite):
        check_empty(options.output, "--output", output)
        if failures is not None:
            check_empty(options.failures, "--failures", failures)
    return OpenFiles(descriptor, items, output, failures)


async def _open_input(
    target: Target, options: Namespace, standard_input: StandardInput | None
) -> tuple[int | None, Items]:
    if options.input is not None and (standard_input is None or descriptor_number(options.input)):
        with interruptible():
            return open_input(options.input), ()
    if options.items:
        return None, options.items
    if options.input is None and target.has_items:
        if options.lines:
            raise UsageError(
                f"--lines is about --input, and the items are `items` of {options.target}; give "
                "--input - to read standard input"
            )
        return None, await target.items()
    if standard_input is None:
        raise UsageError(
            "there is no input; give items after TARGET or --input FILE (- for the terminal), "
            "or have the program define `items`"
        )
    return standard_input.open(), ()


def _loop_factory(name: str) -> LoopFactory | None:
    if name == "asyncio":
        return None
    try:
        factory: LoopFactory = import_module("uvloop").new_event_loop
    except ImportError:
        raise UsageError(
            "--loop uvloop needs the package uvloop: pip install uvloop, or leave --loop out"
        ) from None
    return factory
