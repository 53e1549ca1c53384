"""One run of the command, from the pipeline to the exit code."""

from __future__ import annotations

from argparse import Namespace
from asyncio import AbstractEventLoop, Task, get_running_loop
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable, Iterator, Sized
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from antflow._stats.failure_tally import FailureTally
from antflow.pipeline import Pipeline, ResultStream

from .file_writer import Sink
from .line_reader import Blocks
from .pending_inputs import Ledger
from .printing import say, say_in_time
from .records import of_item, of_json_line, of_text_line, result_record, value_record
from .report import COMMAND, blocked, exit_code, lines_about, summary
from .signals import GRACE_SECONDS, Interruption, Ways, leave
from .sizes import Counted, Measured, is_measurable
from .source import Source, json_of, text_of_line
from .trace import failure_trace, trace_of

Items = Iterable[Any] | AsyncIterable[Any]


@dataclass(frozen=True)
class Files:
    """What is read and written.

    Args:
        input: descriptor of the file that is read; None for `items`.
        items: what is fed, where no file is read.
        output: descriptor of the file of results.
        failures: descriptor of the file of failures, if there is one.
    """

    input: int | None
    items: Items
    output: int
    failures: int | None


class Execution:
    """Runs a pipeline over an input, and writes what becomes of it.

    Args:
        pipeline: that is run.
        options: of the command.
        files: what is read and written.
        is_process: whether the process is there for nothing else, and may be ended.
    """

    def __init__(
        self, pipeline: Pipeline, options: Namespace, files: Files, *, is_process: bool = True
    ) -> None:
        self._pipeline = pipeline
        self._options = options
        self._files = files
        self._is_process = is_process
        self._loop = get_running_loop()
        describe = of_item
        if files.input is not None:
            describe = of_text_line if options.lines else of_json_line
        record = value_record if options.values else result_record
        tally = FailureTally(failure_trace if options.traceback else None)
        self._ledger = Ledger(describe, record, ordered=options.ordered, tally=tally)
        noun = "item" if files.input is None else "line"
        self._source = Source(self._ledger, self._number_of, noun)
        self._fed = self._begin_source()
        self._results: ResultStream = pipeline.stream(
            self._with_size(), dashboard=options.dashboard
        )
        self._error: BaseException | None = None
        self._endings: set[Task[Any]] = set()
        self._began = perf_counter()
        self._interruption = Interruption(
            Ways(self._announce, self._drain, self._stop, self._leave),
            self._loop,
            options.drain_seconds,
        )

    def _number_of(self, value: Any) -> int:
        # The stream reads the source, so it is there by now.
        return self._results._number_of(value)  # noqa: SLF001 - for the command only

    def _begin_source(self) -> AsyncGenerator[Any, None]:
        if self._files.input is None:
            return self._source.items(self._files.items)
        parse = text_of_line if self._options.lines else json_of
        blocks = Blocks(self._files.input)
        return self._source.lines(blocks, parse, skips_blank=not self._options.lines)

    def _with_size(self) -> AsyncIterable[Any]:
        """Return the input, with its length or the share of it that was read, if it has one."""
        descriptor, items = self._files.input, self._files.items
        if descriptor is not None and is_measurable(descriptor):
            return Measured(self._fed, self._source, descriptor)
        if descriptor is None and isinstance(items, Sized):
            return Counted(self._fed, len(items))
        return self._fed

    async def run(self) -> int:
        """Run, and return the exit code."""
        with self._interruption.watched():
            self._open_sinks(self._loop)
            await self._consume()
            self._ledger.release()
            await self._ledger.output.close()
            self._ledger.close(self._pipeline.unprocessed)
            if self._ledger.failures is not None:
                await self._ledger.failures.close()
        return self._report()

    @property
    def is_cut_short(self) -> bool:
        """Whether a signal, or a file that could not be written to, has ended the run."""
        ledger = self._ledger
        sinks = ledger.output, ledger.failures
        failed = any(sink is not None and sink.error is not None for sink in sinks)
        return failed or self._interruption.signal is not None

    def _open_sinks(self, loop: AbstractEventLoop) -> None:
        ledger, stop = self._ledger, self._interruption.stop
        ledger.output = Sink(self._files.output, loop, ledger.forget, stop)
        if self._files.failures is not None:
            ledger.failures = Sink(self._files.failures, loop, ledger.forget, stop)

    async def _consume(self) -> None:
        ledger, output = self._ledger, self._ledger.output
        try:
            async with self._results as results:
                async for result in results:
                    ledger.end(result)
                    if output.is_full:
                        await output.room()
                    if ledger.failures is not None and ledger.failures.is_full:
                        await ledger.failures.room()
        except BaseException as error:  # whatever a task raises, what has ended is to be written
            self._error = error
        finally:
            await self._fed.aclose()

    @property
    def _names(self) -> dict[str, str]:
        names = {name: getattr(self._options, name) for name in ("output", "failures")}
        return {name: given for name, given in names.items() if given}

    def _report(self) -> int:
        """Say what there is to say of the run, and return the exit code."""
        code = self._code
        if self._interruption.signal is None:
            for line in self._lines():
                say(line)
        elif not say_in_time(self._lines(), GRACE_SECONDS):
            self._end_process(code)
        return code

    @property
    def _code(self) -> int:
        return exit_code(self._ledger, self._error, self._interruption.signal)

    def _lines(self) -> Iterator[str]:
        """Return what is reported of the run."""
        if self._options.summary:
            yield summary(self._pipeline.get_stats(), perf_counter() - self._began)
        if self._error is not None and (trace := trace_of(self._error)):
            yield trace.rstrip()
        signal = self._interruption.signal
        for line in lines_about(self._ledger, self._source, self._names, self._error, signal):
            yield f"{COMMAND}: {line}"

    # Ways to end early

    def _announce(self) -> None:
        signal, seconds = self._interruption.signal, self._options.drain_seconds
        assert signal is not None
        line = (
            f"{COMMAND}: {signal.name}: reading stopped; items already read get {seconds:g} s to "
            "finish; a second signal stops at once"
        )
        say_in_time([line], GRACE_SECONDS)

    def _drain(self) -> None:
        seconds = self._options.drain_seconds
        self._end(self._pipeline.shutdown(drain=True, timeout=seconds))

    def _stop(self) -> None:
        self._end(self._pipeline.shutdown(timeout=0))

    def _end(self, shutdown: Coroutine[Any, Any, object]) -> None:
        task = self._loop.create_task(shutdown)
        self._endings.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: Task[Any]) -> None:
        self._endings.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error

    def _leave(self) -> None:
        """Write of what is left, without the event loop, and end the process if it is ours."""
        code = 1
        try:
            self._results._leave_display(GRACE_SECONDS)  # noqa: SLF001 - for the command only
            ledger = self._ledger
            ledger.release()
            ledger.output.hurry(GRACE_SECONDS)
            ledger.close(self._pipeline.unprocessed)
            if ledger.failures is not None:
                ledger.failures.hurry(GRACE_SECONDS)
            code = self._code
            say_in_time([*self._left_behind(), *self._lines()], GRACE_SECONDS)
        finally:
            self._end_process(code)

    def _end_process(self, code: int) -> None:
        if self._is_process:
            leave(code)

    def _left_behind(self) -> Iterator[str]:
        lines = list(blocked(self._ledger, self._names))
        if not lines or self._endings:
            lines.append("tasks that ignored their cancellation were left behind")
        for line in lines:
            yield f"{COMMAND}: {line}"
