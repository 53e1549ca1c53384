"""One run of a pipeline: wiring, feeding, the order of closing, and the conservation of items."""

from __future__ import annotations

import logging
from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Event,
    Future,
    Task,
    current_task,
    get_running_loop,
)
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from contextvars import Context
from functools import partial
from inspect import isasyncgen
from typing import Any
from weakref import ref

from ._clock import CLOCK
from ._item import SPELLED_OUT, Item, read_item, take_back
from ._results import Results
from ._stage_run import StageRun, worker_name
from ._turn import Turns, turns_of
from ._worker import Worker
from .context import CURRENT_WORKER
from .exceptions import PipelineError
from .stage import Stage
from .types import PipelineResult, UnprocessedItem

Source = Iterable[Any] | AsyncIterable[Any]
_logger = logging.getLogger(__name__)


class Run:
    """A run, from the first item fed to the end of the last worker.

    It ends by closing: as soon as it is sealed, so that nothing more comes from outside, and
    nothing is outstanding; or on demand, with whatever is left then. To abort is to close and to
    cancel what runs.

    Args:
        name: the pipeline's name.
        stages: the definition.
        results: where items end; may be replaced until the start.
    """

    def __init__(self, name: str, stages: Sequence[Stage], results: Results) -> None:
        self.name = name
        self.clock = CLOCK.get()
        self.turns = Turns(self.clock)
        self.results = results
        self.posts = _wire(stages, results)
        self.workers = [
            [
                Worker(worker_name(post.stage, number), post, self)
                for number in range(post.stage.workers)
            ]
            for post in self.posts
        ]
        self.error: BaseException | None = None
        self.host: object | None = None
        self._consumer: Callable[[], Task[Any] | None] = _nobody
        self.is_started = False
        self.is_closed = False
        self.is_over = False
        self.is_abandoned = False
        self._input_error: BaseException | None = None
        self._is_told = False
        self._accepting = True
        self._sealed = False
        self._aborted = False
        self._ended = 0
        self._numbered = 0
        self._feeders = 0
        self._priority: int | None = None  # until the first item
        self._loop: AbstractEventLoop | None = None
        self._reader: Task[None] | None = None
        self._is_reader_stopped = False
        self._tasks: set[Task[None]] = set()
        self._pauses: set[Future[bool]] = set()
        self._replies: set[Future[PipelineResult]] = set()
        self._warned: set[str] = set()
        self._finished = Event()

    # Starting

    def start(self, results: Results, context: Context) -> None:
        """Have workers started, in copies of a context, as there is work for them."""
        self.is_started = True
        self.results = self.posts[-1].outlet = results
        self.host = context.get(CURRENT_WORKER)
        now = self.clock()
        self._loop = get_running_loop()
        self.turns = turns_of(self._loop, self.clock)
        for post, workers in zip(self.posts, self.workers, strict=True):
            post.results = results
            post.account.begin(now)
            post.inbox.add_reserve(partial(self._start, worker, context) for worker in workers)

    def read(self, source: Source, priority: int) -> None:
        """Feed all of an input to the first stage, in a task of the run's own, and then seal."""
        self._reader = get_running_loop().create_task(self._read(source, priority))
        self._watch(self._reader)

    def _start(self, worker: Worker, context: Context) -> None:
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
            await self.feed(source, self.posts[0], priority)
        except (Exception, CancelledError) as error:
            if self._accepting:
                self._input_error = error
        except GeneratorExit:
            raise
        except BaseException as error:
            self.abort(error)
        finally:
            await self._stop_reading(source)

    async def _stop_reading(self, source: Source) -> None:
        """Let an input that was not read to its end clean up after itself."""
        try:
            if isasyncgen(source):
                await source.aclose()
        finally:
            self.seal()

    # Who calls

    def is_lost(self) -> bool:
        """Tell whether the run can never go on, its event loop having been closed."""
        return self._loop is not None and self._loop.is_closed() and not self.is_over

    def is_inside(self) -> bool:
        """Tell whether a worker, or the stream's consumer, may be waiting for the present code."""
        return self.is_inside_task() or self.is_consumer()

    def is_inside_task(self) -> bool:
        """Tell whether the present code runs on behalf of a worker, maybe through another run."""
        worker = CURRENT_WORKER.get()
        while isinstance(worker, Worker):
            if worker.run is self:
                return True
            worker = worker.run.host
        return False

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

    def is_worker(self) -> bool:
        """Tell whether the present task is one of this run's own."""
        return current_task() in self._tasks

    # Feeding

    def admit(self) -> bool:
        """Tell whether something may be fed now; to those inside as long as the run lasts."""
        return not self.is_over and (self.is_inside() or (self._accepting and not self._sealed))

    async def feed(self, source: Source, post: StageRun, priority: int) -> bool:
        """Feed items to a stage as it has room for them.

        Args:
            source: values to be wrapped as items, or items that an earlier run left unprocessed.
            post: where they enter, but for the latter, which go to where they were.
            priority: lower first.

        Returns:
            False when the run was closed before everything was fed; the value that was read last
            has then not been fed.
        """
        inside = self.is_inside()
        self._note_priority(priority)
        self._feeders += 1
        try:
            if isinstance(source, AsyncIterable):
                async for value in source:
                    if not await self._offer(value, post, priority, inside):
                        return False
                return True
            return await self._feed_quickly(source, post, priority, inside)
        finally:
            self._feeders -= 1
            self.check()

    async def _feed_quickly(
        self, source: Iterable[Any], post: StageRun, priority: int, inside: bool
    ) -> bool:
        """Feed from an iterable, at the price of no call for a value that has room at once."""
        inbox, turns, clock, account = post.inbox, self.turns, self.clock, post.account
        queue = inbox.queue
        for value in source:
            if (
                inbox.crowded
                or len(queue) + inbox.granted >= inbox.capacity
                or not self._accepting
                or isinstance(value, SPELLED_OUT)
                or (now := clock()) > turns.until
            ):
                if not await self._offer(value, post, priority, inside):
                    return False
                continue
            number = self._numbered
            self._numbered = number + 1
            item = Item(number, value, number, priority)
            item.queued_at = now
            account.injected += 1
            if inbox.direct:
                queue.append(item)
            else:
                inbox.put(item)
        return True

    async def process(self, source: Any, priority: int) -> PipelineResult:
        """Feed one item and return its result, which is kept nowhere else."""
        self._note_priority(priority)
        item, home = self._take_in(source, self.posts[0], priority)
        reply: Future[PipelineResult] = get_running_loop().create_future()
        item.more().reply = reply
        self.results.expect()
        try:
            if not await self._push_alone(item, home):
                raise PipelineError(
                    f"Pipeline {self.name!r} was stopped before it took the item; start() it again"
                )
            if self.is_over and not reply.done():
                raise self._unanswered() from self.error
            self._replies.add(reply)
            return await reply
        except CancelledError:
            if reply.done() and not reply.cancelled() and reply.exception() is None:
                self.results.keep(reply.result())
            raise
        finally:
            self._replies.discard(reply)
            self.results.expect_no_more()

    async def _push_alone(self, item: Item, post: StageRun) -> bool:
        self._feeders += 1
        try:
            return await self._push(item, post, inside=False)
        finally:
            self._feeders -= 1
            self.check()

    def post_of(self, stage: str) -> StageRun:
        """Return a stage by its name.

        Raises:
            ValueError: there is none of that name.
        """
        for post in self.posts:
            if post.name == stage:
                return post
        names = ", ".join(repr(post.name) for post in self.posts)
        raise ValueError(f"Stage {stage!r} not found in pipeline {self.name!r}; it has {names}")

    def _take_in(self, value: Any, post: StageRun, priority: int) -> tuple[Item, StageRun]:
        if isinstance(value, UnprocessedItem):
            item, post = take_back(value), self.post_of(value.stage)
            self._note_priority(item.priority)
            self._numbered = max(self._numbered, item.sequence_id + 1)
        else:
            item = read_item(value, self._numbered, priority)
            self._numbered += 1
        return item, post

    def _note_priority(self, priority: int) -> None:
        """Have items sorted from the second priority on."""
        if self._priority not in (None, priority):
            for post in self.posts:
                post.inbox.sort()
        self._priority = priority

    async def _offer(self, value: Any, post: StageRun, priority: int, inside: bool) -> bool:
        item, home = self._take_in(value, post, priority)
        return await self._push(item, home, inside)

    async def _push(self, item: Item, post: StageRun, inside: bool) -> bool:
        """Deposit an item when there is room; False when the run does not take it any more."""
        now = self.clock()
        if now > self.turns.until and self.turns.over(now, now):
            await self.turns.rest()
        has_room = post.inbox.has_room()
        if inside:
            if not has_room:
                self._warn_of_growth(post)
        elif not has_room:
            self._warn_if_not_started(post)
            await post.inbox.wait_for_place()
        if not self._accepting and (self.is_over or not inside):
            post.inbox.make_room()  # of the place that this feeder leaves free
            return False
        self._deposit(item, post, self.clock())
        return True

    def _deposit(self, item: Item, post: StageRun, now: float) -> None:
        item.queued_at = now
        post.account.injected += 1
        post.inbox.put(item)

    def _warn_of_growth(self, post: StageRun) -> None:
        self._warn_once(
            "growth",
            "Pipeline %r: a task or callback feeds stage %r past its capacity, since waiting there "
            "for room could make the pipeline wait for itself. Feed from outside of the pipeline "
            "where memory must stay bounded.",
            self.name,
            post.name,
        )

    def _warn_if_not_started(self, post: StageRun) -> None:
        if not self.is_started:
            self._warn_once(
                "start",
                "Pipeline %r is not started, and stage %r is full: feed waits. Call start() first, "
                "or use run().",
                self.name,
                post.name,
            )

    def _warn_once(self, topic: str, text: str, *arguments: object) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            _logger.warning(text, *arguments)

    # Ending

    def seal(self) -> None:
        """Let nothing more begin to be fed from outside, and end when all fed items have."""
        self._sealed = True
        self.check()

    def refuse(self) -> None:
        """Seal, and stop those who feed now as well."""
        self._accepting = False
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
            self._sealed
            and sum(post.account.injected for post in self.posts) == self._ended
            and not (self._feeders and self._accepting)
            and not self.is_closed
        ):
            self.close()

    def close(self) -> None:
        """Take no more; attempts that run may end."""
        if self.is_closed:
            return
        self.is_closed = True
        self._accepting = False
        for post in self.posts:
            post.inbox.close()
        self.results.unbound()
        for waiter in self._pauses:
            if not waiter.done():
                waiter.set_result(False)
        self._stop_reader()
        if not self._tasks:
            self._end()

    def abort(self, error: BaseException | None = None) -> None:
        """Close and cancel everything.

        Args:
            error: what ended the run; of several, the first is raised.
        """
        if self.is_over:
            return
        if self.error is None:
            self.error = error
        self._aborted = True
        self.close()
        this = current_task()
        for task in tuple(self._tasks):
            if task is not this:
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
            self._is_told = True
            raise error

    def raise_untold(self) -> None:
        """Raise what ended the run, unless that was done already."""
        if self.error is not None and not self._is_told:
            self._is_told = True
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
            if not (self.is_over and self._is_told):
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
        """Cancel who reads the input, once, so that the input may clean up after itself."""
        if self._reader is None or self._is_reader_stopped or self._reader is current_task():
            return
        self._is_reader_stopped = True
        self._reader.cancel()

    def _task_done(self, task: Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if task is not self._reader:
                self.lose(task.get_name())
        elif (error := task.exception()) is not None:
            self.abort(error)
        if self.is_closed and not self._tasks:
            self._end()

    def lose(self, worker_name: str) -> None:
        """Abort, because a worker was cancelled by somebody else."""
        if self._aborted:
            return
        self.abort(
            PipelineError(
                f"Pipeline {self.name!r} was stopped: its worker {worker_name!r} was cancelled "
                "from outside of the pipeline or by the task that it ran. Raise an exception to "
                "fail an item; cancel what called run(), or call shutdown(), to stop the pipeline."
            )
        )

    def _end(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        now = self.clock()
        for post, workers in zip(self.posts, self.workers, strict=True):
            post.account.stop(now)
            post.threads.close()
            for worker in workers:
                worker.retire()
        self.results.close()
        for reply in self._replies:
            if not reply.done():
                reply.set_exception(self._unanswered())
        self._warn_of_discarded()
        self._finished.set()

    def _unanswered(self) -> PipelineError:
        return PipelineError(
            f"Pipeline {self.name!r} was stopped before the item ended; it is in "
            "pipeline.unprocessed"
        )

    def _warn_of_discarded(self) -> None:
        left = {post.name: len(post.inbox.left_over) for post in self.posts}
        if total := sum(left.values()):
            _logger.warning(
                "Pipeline %r stopped: %d items were discarded unprocessed (%s); they are in "
                "pipeline.unprocessed, and feed() takes them back.",
                self.name,
                total,
                ", ".join(f"{count} in {name!r}" for name, count in left.items() if count),
            )


def _wire(stages: Sequence[Stage], results: Results) -> list[StageRun]:
    """Set up each stage so that it hands on to the next."""
    posts: list[StageRun] = []
    for stage in reversed(stages):
        posts.append(StageRun(stage, results, posts[-1].inbox if posts else results))
    return posts[::-1]


def _nobody() -> None:
    """Stand for a reference to no task."""


def _wake(waiter: Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(True)
