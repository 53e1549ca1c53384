"""Where items enter a run: numbering, waiting for room, and what a feeder is told."""

from __future__ import annotations

import logging
from asyncio import CancelledError, Future, Task, current_task, get_running_loop
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

from ._item import SPELLED_OUT, ItemRecord, read_item, take_back, take_failed
from ._notifier import Cut, Notifier
from ._numbers import Numbers
from ._results import Results
from ._sources import Source
from ._stage_run import StageRun
from ._turn import Turns
from .context import TELLING, telling_and
from .exceptions import PipelineError
from .types import PipelineResult, UnprocessedItem

MOST_PLAIN_TYPES = 100
"""Classes of values that are remembered, of programs that make ever more of them."""

_logger = logging.getLogger(__name__)


class RunForIntake(Protocol):
    """What feeding asks of its run."""

    name: str
    clock: Callable[[], float]
    turns: Turns
    results: Results
    error: BaseException | None
    is_started: bool
    is_over: bool
    is_settled: bool

    def is_inside(self) -> bool:
        """Tell whether a worker, or the stream's consumer, may be waiting for the present code."""

    def is_reader(self) -> bool:
        """Tell whether the present task is the one that reads the run's input."""

    def check(self) -> None:
        """See whether everything is done."""


class Intake:
    """Feeds the stages of one run, as they have room.

    Args:
        run: the run.
        posts: its stages.
        notifier: told of what is queued.
    """

    def __init__(self, run: RunForIntake, posts: Sequence[StageRun], notifier: Notifier) -> None:
        self.accepting = True
        self.feeders = 0
        self.replies: set[Future[PipelineResult]] = set()
        self.announcing: Counter[Task[Any] | None] = Counter()
        self.announced: dict[int, tuple[ItemRecord, StageRun]] = {}  # and not deposited yet
        self._run = run
        self._posts = posts
        self._notifier = notifier
        self._numbers = Numbers()
        self._priority: int | None = None  # until the first item
        self._warned: set[str] = set()
        self._plain: set[type] = set()

    def number_of(self, value: Any) -> int:
        """Return the `sequence_id` that a value gets if it is the next to be fed.

        An item of an earlier run keeps the one it has, unless another item of this run has that.
        """
        if isinstance(value, UnprocessedItem | PipelineResult):
            return self._numbers.of(value.sequence_id)
        return self._numbers.coming

    def post_of(self, stage: str, item: ItemRecord | None = None) -> StageRun:
        """Return a stage by its name.

        Args:
            stage: the name.
            item: an item of an earlier run that goes back there.

        Raises:
            ValueError: there is none of that name.
        """
        for post in self._posts:
            if post.name == stage:
                return post
        names = ", ".join(repr(post.name) for post in self._posts)
        text = f"Stage {stage!r} not found in pipeline {self._run.name!r}; it has {names}"
        if item is not None:
            text += f"; item {item.id!r} was there: feed its value, or an Item, to another stage"
        raise ValueError(text)

    async def feed(self, source: Source, post: StageRun, priority: int) -> bool:
        """Feed items to a stage as it has room for them.

        Args:
            source: values to be wrapped as items, or items that an earlier run left unprocessed.
            post: where they enter, but for the latter, which go to where they were.
            priority: lower first.

        Returns:
            False when the run was closed before everything was fed; the value that was read last
            has then not been fed, unless it is the run itself that reads.
        """
        inside = self._run.is_inside()
        self._note_priority(priority)
        self.feeders += 1
        try:
            if isinstance(source, AsyncIterable):
                async for value in source:
                    if not await self._offer(value, post, priority, inside):
                        return False
                return True
            return await self._feed_quickly(source, post, priority, inside)
        finally:
            self.feeders -= 1
            self._run.check()

    async def _feed_quickly(
        self, source: Iterable[Any], post: StageRun, priority: int, inside: bool
    ) -> bool:
        """Feed from an iterable, at the price of no call for a value that has room at once."""
        run, inbox, account = self._run, post.inbox, post.account
        queue, turns, clock, notifier = inbox.queue, run.turns, run.clock, self._notifier
        numbers, plain = self._numbers, self._plain
        for value in source:
            if (
                inbox.crowded
                or len(queue) + inbox.granted >= inbox.capacity
                or not self.accepting
                or value.__class__ not in plain
                or (now := clock()) > turns.until
            ):
                if not await self._offer(value, post, priority, inside):
                    return False
                self._note_plain(value)
                continue
            number = numbers.coming
            numbers.coming = number + 1
            item = ItemRecord(number, value, number, priority)
            if notifier.fed:
                told = self._tell_queued(item, post)
                if told is not None or run.is_settled:
                    if not await self._hear_out(told, item, post) or not self._goes_on(inside):
                        return False
                    continue
            item.queued_at = now
            account.injected += 1
            if inbox.direct:
                queue.append(item)
            else:
                inbox.put(item)
        return True

    def _note_plain(self, value: Any) -> None:
        """Note the class of a value that says no more of its item, to be looked at only once."""
        kind = value.__class__
        if kind in self._plain or isinstance(value, SPELLED_OUT):
            return
        if len(self._plain) < MOST_PLAIN_TYPES:
            self._plain.add(kind)

    async def take_unread(self, values: list[Any], post: StageRun, priority: int) -> None:
        """Take what the run has read ahead of the end of reading: only the run has these values.

        Raises:
            CancelledError: the caller was cancelled; all values are taken nonetheless.
        """
        cancelled: CancelledError | None = None
        for value in values:
            try:
                telling = self._take(*self._take_in(value, post, priority))
                if telling is not None:
                    await telling
            except CancelledError as error:
                cancelled = error
            except ValueError:  # it cannot be fed, and there is another reason to stop
                continue
        if cancelled is not None:
            raise cancelled

    async def process(self, source: Any, priority: int) -> PipelineResult:
        """Feed one item and return its result, which is kept nowhere else."""
        self._note_priority(priority)
        item, home = self._take_in(source, self._posts[0], priority)
        reply: Future[PipelineResult] = get_running_loop().create_future()
        item.more().reply = reply
        run = self._run
        run.results.expect()
        try:
            if not await self._push_alone(item, home):
                raise PipelineError(
                    f"Pipeline {run.name!r} was stopped before it took the item; start() it again"
                )
            if run.is_over and not reply.done():
                raise self._unanswered() from run.error
            self.replies.add(reply)
            return await reply
        except CancelledError:
            if reply.done() and not reply.cancelled() and reply.exception() is None:
                run.results.keep(reply.result())
            raise
        finally:
            reply.cancel()  # so that a result is kept when nobody waits for it any more
            self.replies.discard(reply)
            run.results.expect_no_more()

    def give_up_replies(self) -> None:
        """Tell those who wait for a result that none will come."""
        for reply in self.replies:
            if not reply.done():
                reply.set_exception(self._unanswered())

    def _unanswered(self) -> PipelineError:
        return PipelineError(
            f"Pipeline {self._run.name!r} was stopped before the item ended; it is in "
            "pipeline.unprocessed"
        )

    async def _push_alone(self, item: ItemRecord, post: StageRun) -> bool:
        self.feeders += 1
        try:
            return await self._push(item, post, inside=False)
        finally:
            self.feeders -= 1
            self._run.check()

    def _take_in(self, value: Any, post: StageRun, priority: int) -> tuple[ItemRecord, StageRun]:
        if isinstance(value, UnprocessedItem | PipelineResult):
            number = self.number_of(value)
            if isinstance(value, PipelineResult):
                item = take_failed(value, number, priority)
            else:
                item = take_back(value, number)
            post = self.post_of(cast("str", value.stage), item)
            self._numbers.keep(number)
        else:
            item = read_item(value, self._numbers.coming, priority)
            self._numbers.coming += 1
        if item.priority != priority:
            self._note_priority(item.priority)
        return item, post

    def _note_priority(self, priority: int) -> None:
        """Have items sorted from the second priority on."""
        if self._priority not in (None, priority):
            for post in self._posts:
                post.inbox.sort()
        self._priority = priority

    async def _offer(self, value: Any, post: StageRun, priority: int, inside: bool) -> bool:
        item, home = self._take_in(value, post, priority)
        return await self._push(item, home, inside)

    async def _push(self, item: ItemRecord, post: StageRun, inside: bool) -> bool:
        """Deposit an item when there is room; False when the run does not take it any more.

        What the run itself has read it takes even then: nobody else has that item.
        """
        run = self._run
        now = run.clock()
        try:
            if now > run.turns.until and run.turns.should_rest(now, now):
                await run.turns.rest()
            has_room = post.inbox.has_room()
            if inside:
                if not has_room:
                    self._warn_of_growth(post)
            elif not has_room:
                self._warn_if_not_started(post)
                await post.inbox.wait_for_place()
        except CancelledError:
            if run.is_reader() and not run.is_settled:
                telling = self._take(item, post)
                if telling is not None:
                    await telling
            else:
                self._numbers.give_back(item.sequence_id)
            raise
        goes_on = self._goes_on(inside)
        if not goes_on and (run.is_settled or not run.is_reader()):
            post.inbox.make_room()  # of the place that this feeder leaves free
            self._numbers.give_back(item.sequence_id)
            return False
        telling = self._take(item, post)
        return (telling is None or await telling) and goes_on

    def _goes_on(self, inside: bool) -> bool:
        """Tell whether items are still taken; those of the run's own tasks until it is over."""
        run = self._run
        return not run.is_settled and (self.accepting or (inside and not run.is_over))

    def _take(self, item: ItemRecord, post: StageRun) -> Awaitable[bool] | None:
        """Deposit an item at once, or return what does so when it has been told."""
        if self._notifier.fed:
            told = self._tell_queued(item, post)
            if told is not None or self._run.is_settled:
                return self._hear_out(told, item, post)
        self._deposit(item, post)
        return None

    async def _hear_out(
        self, told: Awaitable[Cut] | None, item: ItemRecord, post: StageRun
    ) -> bool:
        """Wait until it is told that an item is queued, then deposit it, whatever happened.

        Only where the run is settled by then, it is told that the item was not processed.

        Returns:
            Whether it was deposited.

        Raises:
            CancelledError: the caller was cancelled; the item is deposited nonetheless.
        """
        cut: Cut = None
        with self._announcing():
            post.inbox.keep_place()
            self.announced[id(item)] = item, post
            try:
                cut = None if told is None else await told
            finally:
                del self.announced[id(item)]
                post.inbox.give_back_place()
                is_late = self._run.is_settled
                if not is_late:
                    self._deposit(item, post)
        if is_late:
            late = self._notifier.tell_status(item, post.name, "unprocessed", final=True)
            cut = (await late if late is not None else None) or cut
        if cut is not None:
            try:
                raise cut
            finally:
                del cut  # or its traceback and this frame would keep each other
        return not is_late

    @contextmanager
    def _announcing(self) -> Iterator[None]:
        """Have the present task, and what it starts, known as one that the run waits for."""
        task = current_task()
        token = TELLING.set(telling_and(self._run))
        self.announcing[task] += 1
        try:
            yield
        finally:
            TELLING.reset(token)
            self.announcing[task] -= 1
            if not self.announcing[task]:
                del self.announcing[task]

    def _tell_queued(self, item: ItemRecord, post: StageRun) -> Awaitable[Cut] | None:
        token = TELLING.set(telling_and(self._run))
        try:
            notifier = self._notifier
            return notifier.tell_status(item, post.name, "queued", listeners=notifier.fed)
        finally:
            TELLING.reset(token)

    def _deposit(self, item: ItemRecord, post: StageRun) -> None:
        item.queued_at = self._run.clock()
        post.account.injected += 1
        post.inbox.put(item)

    def _warn_of_growth(self, post: StageRun) -> None:
        self._warn_once(
            "growth",
            "Pipeline %r: a task or callback feeds stage %r past its capacity of %d, since waiting "
            "there for room could make the pipeline wait for itself; so memory grows with what "
            "they feed. If that is intended, %s. If memory must stay bounded, feed less there or "
            "from outside of the pipeline.",
            self._run.name,
            post.name,
            post.stage.capacity,
            "leave out pull and set queue_capacity=0 on the stage"
            if post.stage.pull
            else "set queue_capacity=0 on the stage",
        )

    def _warn_if_not_started(self, post: StageRun) -> None:
        if not self._run.is_started:
            self._warn_once(
                "start",
                "Pipeline %r is not started, and stage %r is full: feed waits. Call start() first, "
                "or use run().",
                self._run.name,
                post.name,
            )

    def _warn_once(self, topic: str, text: str, *arguments: object) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            _logger.warning(text, *arguments)
