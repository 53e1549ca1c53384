"""One run of the command, from the pipeline to the exit code."""

from __future__ import annotations

import os
from argparse import Namespace
from asyncio import AbstractEventLoop, Task, Timeout, get_running_loop, timeout
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sized,
)
from dataclasses import dataclass
from functools import partial
from os.path import samestat
from threading import Lock
from time import perf_counter
from typing import Any

from antflow import Pipeline, PluginError, ResultStream
from antflow.tally import FailureTally

from ._children import awake_after_forks
from ._command_input import (
    CommandInput,
    CountedInput,
    MeasuredInput,
    is_regular_file,
    parse_json,
    parse_text,
)
from ._file_io import FileWriter, LineReader
from ._files import empty
from ._pending_inputs import PendingInputs
from ._printing import (
    FAILED,
    format_program_error,
    format_task_error,
    print_err,
    print_err_in_time,
)
from ._records import (
    describe_item,
    describe_json_line,
    describe_text_line,
    result_record,
    value_record,
)
from ._report import COMMAND, blocked_lines, exit_code, report_lines, summary
from ._signals import GRACE_SECONDS, ShutdownActions, SignalHandler, exit_now
from ._target import TargetError
from ._texts import escaped

Items = Iterable[Any] | AsyncIterable[Any]


@dataclass(frozen=True)
class OpenFiles:
    """The files of a run, opened.

    Args:
        input: descriptor of the input; None if `items` are fed instead.
        items: the items of the program or of the arguments.
        output: descriptor of the file of results.
        failures: descriptor of the file of failures, if there is one.
    """

    input: int | None
    items: Items
    output: int
    failures: int | None


class Execution:
    """Runs a pipeline over an input, and writes its results and failures.

    Args:
        pipeline: the pipeline.
        options: of the command.
        files: the input and the outputs.
        leave: leaves the context manager that yielded the pipeline, if one did.
        is_task: whether the pipeline was made of a task.
        is_process: whether the command is the whole process, which may be ended then.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        options: Namespace,
        files: OpenFiles,
        leave: Callable[[], Awaitable[None]],
        *,
        is_task: bool = False,
        is_process: bool = True,
    ) -> None:
        self._pipeline = pipeline
        self._options = options
        self._files = files
        self._is_process = is_process
        self._loop = get_running_loop()
        describe = describe_item
        if files.input is not None:
            describe = describe_text_line if options.lines else describe_json_line
        record = value_record if options.values else result_record
        remedy = "give --retries 1, or raise GiveUp" if is_task else None
        tally = FailureTally(format_task_error if options.traceback else None, remedy)
        self._pending = PendingInputs(describe, record, ordered=options.ordered, tally=tally)
        noun = "item" if files.input is None else "line"
        self._input = CommandInput(self._pending, self._number_of, noun, self._begin_writing)
        self._values = self._read_input()
        self._results: ResultStream = pipeline.stream(
            self._with_size(), dashboard=options.dashboard
        )
        self._error: BaseException | None = None
        self._leave = leave
        self._leaving: Timeout | None = None  # while the context manager is being left
        self._leave_error: TargetError | None = None
        self._shutdowns: set[Task[Any]] = set()
        self._is_over = False
        self._began = perf_counter()
        self._process = os.getpid()
        self._signals = SignalHandler(
            ShutdownActions(self._announce, self._drain, self._stop, self._exit_now),
            self._loop,
            options.drain_seconds,
        )

    def _number_of(self, value: Any) -> int:
        # The stream reads the input, so `_results` is set by then.
        return self._results.next_sequence_id(value)

    def _read_input(self) -> AsyncGenerator[Any, None]:
        if self._files.input is None:
            return self._input.read_items(self._files.items)
        parse = parse_text if self._options.lines else parse_json
        reader = LineReader(self._files.input)
        return self._input.read_lines(reader, parse, skips_blank=not self._options.lines)

    def _with_size(self) -> AsyncIterable[Any]:
        """Return the input, with its length or the fraction that was read if they are known."""
        descriptor, items = self._files.input, self._files.items
        if descriptor is not None and is_regular_file(descriptor):
            return MeasuredInput(self._values, self._input, descriptor)
        if descriptor is None and isinstance(items, Sized):
            return CountedInput(self._values, items)
        return self._values

    async def run(self) -> int:
        """Run, and return the exit code."""
        with self._signals.installed(), awake_after_forks(self._loop):
            self._open_writers(self._loop)
            await self._consume()
            self._pending.flush()
            # The output first: what it cannot write becomes a failure.
            await self._pending.output.close()
            self._pending.close(self._pipeline.unprocessed)
            if self._pending.failures is not None:
                await self._pending.failures.close()
            await self._leave_target()  # here, so that signals end it if it takes too long
        self._is_over = True
        self._signals.end_once(self._report)
        return self._code

    @property
    def is_cut_short(self) -> bool:
        """Whether a signal, the program, or a file that could not be written has ended the run."""
        pending = self._pending
        writers = pending.output, pending.failures
        failed = any(writer is not None and writer.error is not None for writer in writers)
        return failed or self._signals.is_stopped or self._signals.signal is not None

    def stop(self, error: BaseException) -> None:
        """Stop the run because of an error that has ended the event loop."""
        self._error = self._error or error
        self._signals.stop()

    def _open_writers(self, loop: AbstractEventLoop) -> None:
        pending, stop = self._pending, self._signals.stop
        output, failures = self._files.output, self._files.failures
        turn = Lock()  # both may be one pipe
        prepare = self._emptying(self._options.output, output)
        pending.output = FileWriter(output, loop, pending.remove, stop, turn, prepare)
        if failures is not None:
            own = turn if samestat(os.fstat(failures), os.fstat(output)) else None
            prepare = self._emptying(self._options.failures, failures)
            pending.failures = FileWriter(failures, loop, pending.remove, stop, own, prepare)

    def _emptying(self, name: str, descriptor: int) -> Callable[[], None] | None:
        """Return a function that empties a file of an earlier run; None without --overwrite."""
        return partial(empty, name, descriptor) if self._options.overwrite else None

    def _begin_writing(self) -> None:
        # Not before: a run that is refused must not empty the results of an earlier one.
        for writer in self._pending.output, self._pending.failures:
            if writer is not None:
                writer.begin()

    async def _consume(self) -> None:
        pending, output = self._pending, self._pending.output
        try:
            async with self._results as results:
                async for result in results:
                    pending.finish(result)
                    if output.is_full:
                        await output.wait_for_room()
                    if pending.failures is not None and pending.failures.is_full:
                        await pending.failures.wait_for_room()
        except BaseException as error:  # whatever a task raises, finished results are written
            self._error = error
        finally:
            if os.getpid() != self._process:  # a task has forked the process, and gone on in both
                os._exit(FAILED)
            await self._values.aclose()

    async def _leave_target(self) -> None:
        try:
            async with timeout(None) as self._leaving:
                await self._leave()
        except TargetError as error:
            self._leave_error = error
        except TimeoutError:  # the second signal has ended it
            pass
        except BaseException as error:
            self._error = self._error or error
        finally:
            self._leaving = None

    @property
    def _names(self) -> dict[str, str]:
        names = {name: getattr(self._options, name) for name in ("output", "failures")}
        return {name: escaped(given) for name, given in names.items() if given}

    def _report(self) -> None:
        if self._signals.signal is None:
            for line in self._lines():
                print_err(line)
        elif not print_err_in_time(self._lines(), GRACE_SECONDS):
            self._end_process(self._code)  # Python's exit would wait for the lock of stderr

    @property
    def _code(self) -> int:
        error = self._error or self._leave_error
        return exit_code(self._pending, error, self._signals.signal)

    def _lines(self) -> Iterator[str]:
        if self._options.summary:
            yield from summary(self._pipeline.get_stats(), perf_counter() - self._began)
        # The text of a PluginError says all that a user can fix.
        if self._error is not None and not isinstance(self._error, PluginError):
            yield from filter(None, [format_program_error(self._error).rstrip()])
        signal = self._signals.signal
        for text in report_lines(self._pending, self._input, self._names, self._error, signal):
            line, _, traceback = text.partition("\n")
            yield f"{COMMAND}: {line}"
            if traceback:
                yield traceback
        if self._leave_error is not None:
            yield from filter(None, [self._leave_error.traceback.rstrip()])
            yield f"{COMMAND}: {self._leave_error}"

    # Shutdown actions

    def _announce(self) -> None:
        signal, seconds = self._signals.signal, self._options.drain_seconds
        assert signal is not None
        line = (
            f"{COMMAND}: {signal.name}: reading stopped; items already read get {seconds:g} s to "
            "finish; a second signal stops at once"
        )
        print_err_in_time([line], GRACE_SECONDS)

    def _drain(self) -> None:
        self._start_shutdown(drain=True, timeout=self._options.drain_seconds)

    def _stop(self) -> None:
        if self._leaving is not None:
            self._leaving.reschedule(self._loop.time())
        self._start_shutdown(timeout=0)

    def _start_shutdown(self, **options: Any) -> None:
        if self._is_over:  # the loop may be closed before a task of it runs
            return
        task = self._loop.create_task(self._pipeline.shutdown(**options))
        self._shutdowns.add(task)
        task.add_done_callback(self._on_shutdown)

    def _on_shutdown(self, task: Task[Any]) -> None:
        self._shutdowns.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error

    def _exit_now(self) -> None:
        """Write the remaining records without the event loop, and end the process."""
        code = 1
        try:
            # First of all: the report must not go to the screen of a display.
            self._results.leave_display(GRACE_SECONDS)
            pending = self._pending
            pending.flush()
            pending.output.flush_in_time(GRACE_SECONDS)
            pending.close(self._pipeline.unprocessed)
            if pending.failures is not None:
                pending.failures.flush_in_time(GRACE_SECONDS)
            code = self._code
            print_err_in_time([*self._blocked_lines(), *self._lines()], GRACE_SECONDS)
        finally:
            self._end_process(code)

    def _end_process(self, code: int) -> None:
        if self._is_process:
            exit_now(code)

    def _blocked_lines(self) -> Iterator[str]:
        """Yield what kept the run from ending: files, tasks, or the target's context manager."""
        is_leaving = self._leaving is not None  # before the main thread has left it
        lines = list(blocked_lines(self._pending, self._names))
        if is_leaving:
            lines.append(f"the context manager {self._options.target} was not left in time")
        elif not lines or self._shutdowns:
            lines.append("tasks that ignored their cancellation were left behind")
        for line in lines:
            yield f"{COMMAND}: {line}"
