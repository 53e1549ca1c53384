"""One run of a pipeline: wiring, feeding, the order of closing, and the conservation of items."""

from __future__ import annotations

import logging
import os
from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Event,
    Future,
    Task,
    current_task,
    get_running_loop,
    sleep,
    wait,
)
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from functools import partial
from inspect import isasyncgen
from itertools import chain
from typing import Any
from weakref import ref

from ._clock import CLOCK
from ._display import Display
from ._failures import FEWEST_FOR_A_SHARE, FailureTally, exceeds, too_many_failures
from ._fraction import InputFraction
from ._intake import Intake
from ._limits import Rates
from ._notifier import Cut, Notifier, those_called
from ._results import Results
from ._sources import Source
from ._stage_run import StageRun, worker_name
from ._thread_reader import ThreadReader
from ._threadsafe import ThreadsafeCalls
from ._turn import Turns, turns_of
from ._worker import Worker
from .context import CURRENT_WORKER, TELLING, telling_and
from .exceptions import PipelineError, PluginError
from .plugins import STRICT, PluginSet, is_on, refusal
from .stage import Stage
from .types import ErrorSummary, FailedItem, UnprocessedItem

START, FINISH = "antflow_pipeline_start", "antflow_pipeline_finish"
_logger = logging.getLogger(__name__)
_failures_logger = logging.getLogger("antflow")


class Run:
    """A run, from the first item fed to the end of the last worker.

    It ends by closing: as soon as it is sealed, so that nothing more comes from outside, and
    nothing is outstanding; or on demand, with whatever is left then. To abort is to close and to
    cancel what runs.

    How far it is: `is_started`; `is_closed`, so that it takes nothing more; `is_aborted`, so that
    what runs is cancelled; `is_settled`, when what is left has been told of and nothing can be
    added to it; `is_over`, when no task of it is left. It `is_abandoned` when its stream was
    dropped.

    Args:
        name: the pipeline's name.
        stages: the definition.
        results: where items end; may be replaced until the start.
        rates: the pipeline's call rates, which outlast the run.
        plugins: who is told what happens.
        max_failures: how many items may fail, as `Pipeline` takes it.
    """

    def __init__(
        self,
        name: str,
        stages: Sequence[Stage],
        results: Results,
        rates: Rates,
        plugins: PluginSet,
        max_failures: float | None = None,
    ) -> None:
        self.name = name
        self.max_failures = max_failures
        self.has_too_many_failures = False
        self.warns_of_failures = True
        self.returns_unprocessed = False  # by shutdown(), or with a TooManyFailuresError
        self.is_joined = False  # its end has been, or will be, reported to a caller
        self.clock = CLOCK.get()
        self.turns = Turns(self.clock)
        self.results = results
        self.notifier = Notifier(name, self.abort)
        self.notifier.strict = is_on(os.environ, STRICT)
        self.notifier.listen(plugins)
        self.posts = _wire(stages, results, self.notifier)
        self.intake = Intake(self, self.posts, self.notifier)
        self.workers = [
            [
                Worker(worker_name(post.stage, number), post, self)
                for number in range(post.stage.workers)
            ]
            for post in self.posts
        ]
        self.error: BaseException | None = None
        self.outer_worker: object | None = None
        self._consumer: Callable[[], Task[Any] | None] = _nobody
        self.is_started = False
        self.is_closed = False
        self.is_settled = False
        self.is_over = False
        self.is_abandoned = False
        self._input_error: BaseException | None = None
        self._is_raised = False
        self._rates = rates
        self.plugins = plugins
        self._pipeline: object = None
        self._total_items: int | None = None
        self.input_fraction = InputFraction()
        self._opening: Task[None] | None = None
        self._has_begun = False
        self._display: Display | None = None
        self._context: Context | None = None
        self._conclusion: Task[None] | None = None
        self._begun_conclusion: Task[None] | None = None  # the same, once it may be cancelled
        self._is_sealed = False
        self.is_aborted = False
        self._ended = 0
        self.loop: AbstractEventLoop | None = None
        self.feeding_loop: AbstractEventLoop | None = None  # of the latest feed before the start
        self.threadsafe_calls = ThreadsafeCalls(name)
        self._reader: Task[None] | None = None
        self._stopped: set[Task[None]] = set()
        self._tasks: set[Task[None]] = set()
        self._pauses: set[Future[bool]] = set()
        self._finished = Event()

    # Starting

    def start(
        self,
        results: Results,
        context: Context,
        *,
        pipeline: object,
        total_items: int | None = None,
        display: Display | None = None,
        also: Mapping[str, object] | None = None,
    ) -> None:
        """Begin; workers start when plugins and the display have been told.

        Args:
            results: where items end.
            context: copied for each worker.
            pipeline: what plugins are told to be running.
            total_items: how many items there are; None where that is unknown.
            display: begins before the first item is taken, and ends when the run has.
            also: plugins that take part in this run only, by name.
        """
        self.is_started = True
        self._pipeline, self._total_items, self._display = pipeline, total_items, display
        self.plugins = self.plugins.and_also(also or {})
        self.notifier.listen(self.plugins)
        self.results = self.posts[-1].outlet = results
        self._context = context
        self.outer_worker = context.get(CURRENT_WORKER)
        now = self.clock()
        self.loop = get_running_loop()
        self.turns = turns_of(self.loop, self.clock)
        for post in self.posts:
            post.results = results
            post.limits.rate = self._rates.of(post.stage)
            post.account.begin(now)

        if display is None and not self.plugins.listeners(START):
            self._has_begun = True
            self._reserve_workers()
            return
        self._opening = self.loop.create_task(
            self._tell_of_start(), name=f"{self.name}-opening", context=context
        )
        self._watch(self._opening)

    async def opened(self) -> None:
        """Wait until plugins and the display have been told, and workers may start.

        Raises:
            BaseException: what ended the run meanwhile.
        """
        if self._opening is None:
            self.raise_once()
            return
        try:
            await wait([self._opening])
        except BaseException:
            self.abort()
            await self.outlast()
            raise
        self.raise_once()

    async def _tell_of_start(self) -> None:
        """Tell that the run begins; workers start when this is over, even if it was cut short."""
        token = TELLING.set(telling_and(self))
        self._has_begun = True
        try:
            arguments = {"pipeline": self._pipeline, "total_items": self._total_items}
            answers, cut = await self.notifier.ask(START, arguments)
            cut = await self._add_observers(answers) or cut
            if cut is not None:
                raise cut
            if self._display is not None:
                await self._display.begin()
        finally:
            cut = None  # or its traceback and this frame would keep each other
            TELLING.reset(token)

    async def _add_observers(self, answers: Mapping[str, object]) -> Cut:
        """Have what plugins returned take part in this run, and tell it what waits already."""
        scoped = {}
        for name, answer in answers.items():
            if answer is None:
                continue
            if (reason := refusal(answer)) is None:
                scoped[f"{name}.run"] = answer
            else:
                error = PluginError(f"What it returned cannot take part: {reason}", plugin=name)
                self.notifier.note_fault(name, START, error)
        if not scoped:
            return None
        waiting = [(item, post) for post in self.posts for item in post.inbox.queue]
        waiting += self.intake.announced.values()
        self.plugins = self.plugins.and_also(scoped)
        self.notifier.listen(self.plugins)
        joined = those_called(self.notifier.fed, scoped)
        cut: Cut = None
        for item, post in waiting if joined else ():
            told = self.notifier.tell_status(item, post.name, "queued", listeners=joined)
            cut = (await told if told is not None else None) or cut
        return cut

    def _reserve_workers(self) -> None:
        """Have workers started as there is work for them."""
        if self.is_closed or self._context is None:
            return
        for post, workers in zip(self.posts, self.workers, strict=True):
            post.inbox.add_reserve(
                partial(self._start_worker, worker, self._context) for worker in workers
            )

    def read(self, source: Source, priority: int) -> None:
        """Feed all of an input to the first stage, in a task of the run's own, and then seal."""
        self.intake.feeders += 1
        self._reader = get_running_loop().create_task(self._read(source, priority))
        self._watch(self._reader)

    def _start_worker(self, worker: Worker, context: Context) -> None:
        work = worker.work()
        try:
            task = context.copy().run(get_running_loop().create_task, work, name=worker.name)
        except Exception as error:
            work.close()
            self.abort(error)
        else:
            self._watch(task)

    def _watch(self, task: Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    async def _read(self, source: Source, priority: int) -> None:
        try:
            if self._opening is not None:
                await wait([self._opening])
            if self.intake.accepting:
                await self.intake.feed(source, self.posts[0], priority)
        except (Exception, CancelledError) as error:
            if self.intake.accepting:
                self._input_error = error
        except GeneratorExit:
            raise
        except BaseException as error:
            self.abort(error)
        finally:
            self.intake.feeders -= 1
            await self._stop_reading(source, priority)

    async def _stop_reading(self, source: Source, priority: int) -> None:
        """Let an input that was not read to its end clean up after itself."""
        try:
            if isasyncgen(source):
                await source.aclose()
            elif isinstance(source, ThreadReader):
                if not self.is_aborted:
                    with suppress(CancelledError):  # at the time limit: the thread is abandoned
                        await source.finish()
                await self.intake.take_unread(source.stop(), self.posts[0], priority)
                await source.wait_closed()
        finally:
            self.seal()

    # Who calls

    def is_lost(self) -> bool:
        """Tell whether the run can never go on, its event loop having been closed."""
        return self.loop is not None and self.loop.is_closed() and not self.is_over

    def is_on_other_loop(self) -> bool:
        """Tell whether the run is going on, but not on the running event loop."""
        loop = self.loop
        if loop is None or loop is get_running_loop():
            return False
        return not (self.is_over or self.is_lost())

    def is_fed_on_other_loop(self) -> bool:
        """Tell whether the run has not started, and a feed waits on another event loop."""
        loop = self.feeding_loop
        if self.is_started or not self.intake.feeders or loop is None or loop.is_closed():
            return False
        return loop is not get_running_loop()

    def is_inside(self) -> bool:
        """Tell whether a worker, or the stream's consumer, may be waiting for the present code."""
        return self.is_inside_task() or self.is_consumer()

    def is_inside_task(self) -> bool:
        """Tell whether the present code runs on behalf of a worker, maybe through another run."""
        if self in TELLING.get():
            return True
        worker: object = CURRENT_WORKER.get()
        while isinstance(worker, Worker):
            if worker.run is self:
                return True
            worker = worker.run.outer_worker
        return False

    def is_reader(self) -> bool:
        """Tell whether the present task is the one that reads the run's input."""
        return self._reader is not None and current_task() is self._reader

    def note_consumer(self) -> None:
        """Remember the present task as the one that takes the stream's results.

        Weakly: a task that was cancelled keeps its frames, and so the stream, which has to go when
        it is left.
        """
        task = current_task()
        if task is not None and self._consumer() is not task:
            self._consumer = ref(task)

    def is_consumer(self) -> bool:
        """Tell whether the present task is the one that took the stream's last result."""
        consumer = None if self.is_abandoned or self.is_closed else self._consumer()
        return consumer is not None and consumer is current_task()

    def is_own_task(self) -> bool:
        """Tell whether the present task is one of this run's own."""
        is_asked_by_the_end = self._begun_conclusion is not None and self in TELLING.get()
        return current_task() in self._tasks or self._is_telling() or is_asked_by_the_end

    def _is_telling(self) -> bool:
        """Tell whether the present code is an observer that the run cannot go on without."""
        task = current_task()
        caller = self._display.caller if self._display is not None else None
        return task is not None and (
            task is self._begun_conclusion or task is caller or task in self.intake.announcing
        )

    def admits(self) -> bool:
        """Tell whether something may be fed now; to those inside as long as the run lasts."""
        may_begin = self.intake.accepting and not self._is_sealed
        return not self.is_settled and (may_begin or self.is_inside())

    # Ending

    def seal(self) -> None:
        """Let nothing more begin to be fed from outside, and end when all fed items have."""
        self._is_sealed = True
        self.check()

    def refuse(self) -> None:
        """Seal, and stop those who feed now as well."""
        self.intake.accepting = False
        self._stop_reader()
        for post in self.posts:
            post.inbox.dismiss_feeders()
        self.seal()

    def ended(self, items: int) -> None:
        """Count so many items more as ended."""
        self._ended += items

    def check(self) -> None:
        """Close if the run is sealed and nothing is outstanding."""
        if (
            self._is_sealed
            and sum(post.account.injected for post in self.posts) == self._ended
            and not (self.intake.feeders and self.intake.accepting)
            and not self.intake.announcing
            and not self.is_closed
        ):
            self.close()

    def close(self) -> None:
        """Take no more; attempts that run may end."""
        if self.is_closed:
            return
        self.is_closed = True
        self.intake.accepting = False
        for post in self.posts:
            post.inbox.close()
        self.results.unbound()
        for waiter in self._pauses:
            if not waiter.done():
                waiter.set_result(False)
        for worker in self._all_workers():
            worker.cut_short()
        self._stop_reader()
        if not self._tasks:
            self._conclude()

    def leave_display(self, seconds: float) -> None:
        """Have the display give back what it has taken, as `Display.leave` does.

        Args:
            seconds: for how long it is waited for.
        """
        if self._display is not None:
            self._display.leave(seconds)

    def abort(self, error: BaseException | None = None) -> None:
        """Close and cancel everything.

        Args:
            error: what ended the run; of several, the first is raised.
        """
        if self.is_over:
            return
        if self.error is None:
            self.error = error
        self.is_aborted = True
        running = [*self._tasks, self._begun_conclusion]
        self.close()
        this = current_task()
        for task in running:
            if task is not None and task is not this:
                task.cancel()

    async def pause(self, seconds: float) -> bool:
        """Wait; False when the run was closed before the time was over."""
        loop = get_running_loop()
        waiter: Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _wake, waiter)
        self._pauses.add(waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._pauses.discard(waiter)

    async def wait(self) -> None:
        """Wait until no task of the run is left; to be cancelled here aborts the run.

        Raises:
            BaseException: what ended the run, or what its input raised.
        """
        try:
            await self.finished()
        except BaseException:
            self.abort()
            if not self.is_inside_task():  # or it would wait for the task that it runs in
                await self.outlast()
            raise
        error = self.error or self._input_error
        if error is not None:
            self._is_raised = True
            raise error

    def note_failure(self) -> None:
        """Close if more items have failed than `max_failures` allows."""
        if self.max_failures is not None:
            self._check_failures()

    def _check_failures(self, *, at_end: bool = False) -> None:
        most = self.max_failures
        if most is None or self.has_too_many_failures:
            return
        failed = sum(post.account.failed for post in self.posts)
        if not exceeds(most, failed, max(self._ended, FEWEST_FOR_A_SHARE)) and not at_end:
            return  # which is cheap: what follows goes through all workers of a stage
        ended = failed + sum(worker.processed for worker in self.workers[-1])
        if exceeds(most, failed, ended, at_end=at_end):
            self.has_too_many_failures = self.returns_unprocessed = True
        # A success can be the item with which a share begins to count.
        is_early = ended < FEWEST_FOR_A_SHARE and not self.has_too_many_failures
        watch = self._check_failures if is_early and not self.is_closed else None
        if watch is not self.results.watch:
            self.results.watch_each(watch)
        if self.has_too_many_failures:
            self.close()

    def failure_summary(self, tally: FailureTally) -> str:
        """Return one line about the items that failed."""
        return tally.summary(sum(post.account.injected for post in self.posts), self.name)

    def raise_too_many_failures(self, addition: str = "") -> None:
        """Raise TooManyFailuresError if `max_failures` was exceeded.

        Args:
            addition: ends the text.
        """
        if self.has_too_many_failures:
            raise too_many_failures(
                self.max_failures,
                self.failure_summary(self.results.tally),
                results=self.results.kept(),
                failures=self.results.kept_failures(),
                unprocessed=self.unprocessed(),
                addition=addition,
            )

    def raise_once(self) -> None:
        """Raise what ended the run, unless that was done already."""
        if self.error is not None and not self._is_raised:
            self._is_raised = True
            raise self.error

    async def stop(self, *, drain: bool, timeout: float | None) -> None:
        """Stop, and wait until no task of the run is left.

        Args:
            drain: finish everything fed first.
            timeout: seconds after which to abort.

        Raises:
            BaseException: what ended the run, unless it was raised already.
        """
        if drain and self.is_started:
            self.refuse()
        else:
            self.close()
        if timeout is not None and timeout <= 0:
            self.abort()
        timer = get_running_loop().call_later(timeout, self.abort) if timeout else None
        try:
            if not (self.is_over and self._is_raised):
                await self.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def finished(self) -> None:
        """Wait until no task of the run is left, or this is cancelled."""
        await self._finished.wait()

    async def outlast(self) -> None:
        """Wait until no task of the run is left; to be cancelled comes into effect only then."""
        cancelled: CancelledError | None = None
        while not self.is_over:
            try:
                await self.finished()
            except CancelledError as error:
                cancelled = error
                self.abort()
        if cancelled is not None:
            raise cancelled

    def unprocessed(self) -> list[UnprocessedItem]:
        """Return what was left when the run ended, by stage, priority and input order."""
        if not self.is_over:
            return []
        return [
            item.left_over(post.name)
            for post in self.posts
            for item in sorted(
                post.inbox.left_over, key=lambda item: (item.priority, item.sequence_id)
            )
        ]

    def _stop_reader(self) -> None:
        """Cancel who opens the run and who reads the input, once, so that they may clean up."""
        this = current_task()
        for task in self._opening, self._reader:
            if task is not None and task is not this and task not in self._stopped:
                self._stopped.add(task)
                task.cancel()

    def _task_done(self, task: Task[None]) -> None:
        self._tasks.discard(task)
        if task is self._opening:
            self._reserve_workers()
        if task.cancelled():
            if task is not self._reader and task not in self._stopped:
                self.lose_worker(task.get_name())
        elif (error := task.exception()) is not None:
            self.abort(error)
        if self.is_closed and not self._tasks:
            self._conclude()

    def lose_worker(self, worker_name: str) -> None:
        """Abort, because a worker was cancelled by somebody else."""
        if self.is_aborted:
            return
        self.abort(
            PipelineError(
                f"Pipeline {self.name!r} was stopped: its worker {worker_name!r} was cancelled "
                "from outside of the pipeline or by the task that it ran. Raise an exception to "
                "fail an item; cancel what called run(), or call shutdown(), to stop the pipeline."
            )
        )

    def _conclude(self) -> None:
        """End, the last worker being gone: at once, or when those who watch have been told."""
        if self.is_over or self._conclusion is not None:
            return
        now = self.clock()
        for post in self.posts:
            post.account.stop(now)
            post.threads.close()
        for worker in self._all_workers():
            worker.retire()
        if not self._has_to_tell():
            self._end()
        else:
            self._tell_and_end()

    def _tell_and_end(self) -> None:
        telling = self._tell_of_end()
        try:
            self._conclusion = get_running_loop().create_task(telling, context=self._context)
        except RuntimeError:  # the loop is closed: there is nobody to tell
            telling.close()
            self._end()
            return
        self._conclusion.add_done_callback(self._concluded)

    async def _tell_of_end(self) -> None:
        """Tell of each item that is left, then let the display end."""
        self._begun_conclusion = current_task()
        TELLING.set((self,))
        if self.notifier.finished:
            await self._tell_of_left_overs()
        self.is_settled = True
        if self._has_begun:
            arguments = {"pipeline": self._pipeline, "error_summary": self.error_summary()}
            await self.notifier.ask(FINISH, arguments)
        if self._display is not None:
            await self._display.end(self.results.kept())

    def _has_to_tell(self) -> bool:
        is_left = any(post.inbox.left_over for post in self.posts)
        return (
            self._display is not None
            or (self._has_begun and bool(self.plugins.listeners(FINISH)))
            or bool(is_left and self.notifier.finished)
        )

    async def _tell_of_left_overs(self) -> None:
        """Tell of each item that is left, and of those that late feeders add meanwhile.

        Where the run was aborted, nobody is waited for: who is told is cancelled as it waits.
        """
        told_of = dict.fromkeys(self.posts, 0)
        while more := [post for post in self.posts if len(post.inbox.left_over) > told_of[post]]:
            post = more[0]
            item = post.inbox.left_over[told_of[post]]
            told_of[post] += 1
            told = self.notifier.tell_status(item, post.name, "unprocessed", final=True)
            if told is not None:
                await (self._tell_briefly(told) if self.is_aborted else told)

    async def _tell_briefly(self, told: Awaitable[Cut]) -> None:
        """Hear out who is told, each cancelled at its first wait."""
        this = current_task()
        assert this is not None
        this.cancel()
        await told
        with suppress(CancelledError):
            await sleep(0)  # which takes the cancellation if nobody has waited
        this.uncancel()

    def _concluded(self, conclusion: Task[None]) -> None:
        if not conclusion.cancelled() and (error := conclusion.exception()) is not None:
            self.error = self.error or error
        # It may be cancelled before its first step, as asyncio.run does at its end.
        if self._begun_conclusion is None:
            self._tell_and_end()
        else:
            self._end()

    def _end(self) -> None:
        self._check_failures(at_end=True)
        self.is_settled = self.is_over = True
        self.results.close()
        self.intake.give_up_replies()
        self.threadsafe_calls.close()
        self._warn_of_failures()
        self._warn_of_unprocessed()
        self._pipeline = None
        self._finished.set()

    def _all_workers(self) -> Iterable[Worker]:
        return chain.from_iterable(self.workers)

    def error_summary(self, most: int | None = None) -> ErrorSummary:
        """Return what failed: exact counts, and of the items the latest.

        Args:
            most: how many items at most; None for all that are kept.
        """
        by_type: Counter[str] = Counter()
        for post in self.posts:
            by_type.update(post.account.errors_by_type.copy())
        by_stage = {post.name: post.account.failed for post in self.posts if post.account.failed}
        return ErrorSummary(
            total_failed=sum(by_stage.values()),
            errors_by_type=dict(by_type),
            errors_by_stage=by_stage,
            failed_items=self._latest_failed(most),
        )

    def _latest_failed(self, most: int | None) -> list[FailedItem]:
        # Another thread may ask: the loop can add to what is copied only between two steps.
        kept = list(self.results.failed_items)
        return kept if most is None else kept[-most:]

    def _warn_of_failures(self) -> None:
        """Warn once of all items that failed, unless the caller gets them anyway."""
        tally = self.results.kept_tally
        if tally.total and self.warns_of_failures:
            summary, advice = self.failure_summary(tally), tally.advice()
            _failures_logger.warning("%s; see pipeline.failures%s", summary, advice)

    def _warn_of_unprocessed(self) -> None:
        left = {post.name: len(post.inbox.left_over) for post in self.posts}
        if total := sum(left.values()):
            _logger.warning(
                "Pipeline %r stopped: %s %s unprocessed (%s); see pipeline.unprocessed, "
                "which feed() takes back.",
                self.name,
                "1 item was" if total == 1 else f"{total} items were",
                "returned" if self.returns_unprocessed else "discarded",
                ", ".join(f"{count} in {name!r}" for name, count in left.items() if count),
            )


def _wire(stages: Sequence[Stage], results: Results, notifier: Notifier) -> list[StageRun]:
    """Set up each stage so that it hands on to the next."""
    posts: list[StageRun] = []
    for stage in reversed(stages):
        posts.append(StageRun(stage, results, posts[-1] if posts else None, notifier))
    return posts[::-1]


def _nobody() -> None:
    """Stand for a reference to no task."""


def _wake(waiter: Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(True)
