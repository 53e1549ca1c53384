"""The fuzz is worth something only if it finds bugs: here some are planted in the engine.

Each is one that a person could well write: a wake-up that is lost now and then, an item that falls
between two chairs on cancellation, a count that is off by one.
"""

from __future__ import annotations

import asyncio
import gc
from asyncio import Semaphore
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from antflow._channel import Channel
from antflow._desk import Desk
from antflow._display import Display
from antflow._notifier import Notifier, Observer
from antflow._results import Results
from antflow._run import Run
from antflow._worker import Worker

from .scenarios import Mode
from .test_fuzz import fuzz, quiet

__all__ = ["quiet"]

SCENARIOS_PER_MODE = 400
MODES: tuple[Mode, ...] = ("stream", "run", "service")
"""In the order in which most bugs are found soon."""

FOUND_BY_RUN = "a second cancellation leaves tasks"
"""What is not found where streams are drawn."""

Plant = Callable[[pytest.MonkeyPatch], None]


def sometimes_forgotten(owner: type, method: str, every: int = 3) -> Plant:
    """A method that does nothing every so many times that it is called."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original, turns = getattr(owner, method), count(1)

        def forgetful(self: Any, *arguments: Any) -> Any:
            return None if next(turns) % every == 0 else original(self, *arguments)

        patch.setattr(owner, method, forgetful)

    return plant


def always(owner: type, method: str, answer: object) -> Plant:
    """A method that gives always the same answer."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(owner, method, lambda _self, *_arguments: answer)

    return plant


def deposit_without_order(patch: pytest.MonkeyPatch) -> None:
    original = Channel.put

    def put(self: Channel, item: Any) -> None:
        queue = list(self.queue)
        original(self, item)
        if item in self.queue:
            self.queue.clear()
            self.queue.extend([*queue, item])

    patch.setattr(Channel, "put", put)


def items_lost_after_the_close(patch: pytest.MonkeyPatch) -> None:
    original, turns = Channel.put, count(1)

    def put(self: Channel, item: Any) -> None:
        if not self.closed or next(turns) % 3:
            original(self, item)

    patch.setattr(Channel, "put", put)


def call_lost_with_a_cancelled_receiver(patch: pytest.MonkeyPatch) -> None:
    original = Channel.arrived

    def arrived(self: Channel, takes: int = 1) -> None:
        if takes:
            original(self, takes)

    patch.setattr(Channel, "arrived", arrived)


def place_lost_with_a_cancelled_feeder(patch: pytest.MonkeyPatch) -> None:
    original = Channel.wait_for_place

    async def wait_for_place(self: Channel) -> None:
        try:
            await original(self)
        except asyncio.CancelledError:
            self.granted += 1
            raise

    patch.setattr(Channel, "wait_for_place", wait_for_place)


def senders_forgotten_at_the_close(patch: pytest.MonkeyPatch) -> None:
    original = Channel.close

    def close(self: Channel) -> None:
        self._senders = deque()
        original(self)

    patch.setattr(Channel, "close", close)


def retries_not_counted(patch: pytest.MonkeyPatch) -> None:
    original = Worker._start_anew

    async def start_anew(self: Worker, item: Any, attempt: int, error: BaseException) -> None:
        await original(self, item, max(attempt - 1, 0), error)

    patch.setattr(Worker, "_start_anew", start_anew)


def second_cancellation_leaves_tasks(patch: pytest.MonkeyPatch) -> None:
    async def outlast(self: Run) -> None:
        await self._finished.wait()

    patch.setattr(Run, "outlast", outlast)


def place_not_kept_while_told(patch: pytest.MonkeyPatch) -> None:
    original, not_kept = Channel.give_back_place, Counter[Channel]()

    def keep_place(self: Channel) -> None:
        not_kept[self] += 1

    def give_back_place(self: Channel) -> None:
        if not_kept[self]:
            not_kept[self] -= 1
        else:
            original(self)

    patch.setattr(Channel, "keep_place", keep_place)
    patch.setattr(Channel, "give_back_place", give_back_place)


def permits_not_given_back(patch: pytest.MonkeyPatch) -> None:
    turns = count(1)

    class Forgetful(Semaphore):
        def release(self) -> None:
            if next(turns) % 4:
                super().release()

    patch.setattr("antflow._limits.Semaphore", Forgetful)


def nobody_told_of_what_is_left(patch: pytest.MonkeyPatch) -> None:
    async def tell_of_left_overs(_: Run) -> None:
        return

    patch.setattr(Run, "_tell_of_left_overs", tell_of_left_overs)


def nobody_told_of_what_is_fed_late(patch: pytest.MonkeyPatch) -> None:
    async def tell_of_left_overs(self: Run) -> None:
        for post in self.posts:
            for item in list(post.inbox.left_over):
                told = self.notifier.tell_status(item, post.name, "unprocessed", final=True)
                if told is not None:
                    await told

    patch.setattr(Run, "_tell_of_left_overs", tell_of_left_overs)


def interrupted_starts_not_told_as_ended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("antflow._telling.those_of", lambda *_listeners: ())


def cut_of_a_wait_not_undone(patch: pytest.MonkeyPatch) -> None:
    def sift(self: Worker, error: BaseException | None) -> BaseException | None:
        self.is_cut_short = False
        return error

    patch.setattr(Worker, "_sift", sift)


def cut_lost(patch: pytest.MonkeyPatch) -> None:
    async def hear(_: Worker, told: Any) -> None:
        if told is not None:
            await told

    patch.setattr(Worker, "_hear", hear)


def faults_of_observers_not_caught(patch: pytest.MonkeyPatch) -> None:
    original = Notifier._sift

    def sift(self: Notifier, listener: Any, event: Any, error: BaseException) -> Any:
        if isinstance(error, Exception):
            raise error
        return original(self, listener, event, error)

    patch.setattr(Notifier, "_sift", sift)


def observers_called_in_another_context(patch: pytest.MonkeyPatch) -> None:
    original = Notifier._call

    async def call(self: Notifier, *arguments: Any) -> Any:
        return await asyncio.create_task(original(self, *arguments))

    patch.setattr(Notifier, "_call", call)


def attempts_numbered_by_task(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Desk, "attempt_number", property(lambda self: self.attempt))


def dashboard_does_not_finish_when_aborted(patch: pytest.MonkeyPatch) -> None:
    original = Display._call

    async def call(self: Display, method: str, *arguments: Any) -> None:
        run: Any = self._run
        if method != "on_finish" or not run.is_aborted:
            await original(self, method, *arguments)

    patch.setattr(Display, "_call", call)


PLANTED: dict[str, Plant] = {
    "a receiver is not called": sometimes_forgotten(Channel, "_call"),
    "a receiver that arrives calls no more": sometimes_forgotten(Channel, "_call_more"),
    "a sender is not woken": sometimes_forgotten(Channel, "make_room"),
    "a call is lost with a cancelled receiver": call_lost_with_a_cancelled_receiver,
    "a place is lost with a cancelled feeder": place_lost_with_a_cancelled_feeder,
    "senders are forgotten at the close": senders_forgotten_at_the_close,
    "an interrupted item is lost": items_lost_after_the_close,
    "items are not in order": deposit_without_order,
    "senders never wait": always(Channel, "is_overfull", False),
    "feeders never wait": always(Channel, "has_room", True),
    "the buffer stays closed to those who have ended": sometimes_forgotten(Results, "unbound", 1),
    "an item is not counted as ended": sometimes_forgotten(Run, "ended", every=9),
    "the end is not noticed": sometimes_forgotten(Run, "check"),
    "tasks are not cancelled": sometimes_forgotten(Run, "abort", every=1),
    "the input is read on": sometimes_forgotten(Run, "_stop_reader", every=1),
    "attempts are not counted": retries_not_counted,
    "a second cancellation leaves tasks": second_cancellation_leaves_tasks,
    "a place is not kept while observers are told": place_not_kept_while_told,
    "permits are not given back": permits_not_given_back,
    "waits for limits are not cut": sometimes_forgotten(Desk, "cut_short", every=1),
    "the cut of a wait is not undone": cut_of_a_wait_not_undone,
    "a cancellation is lost while observers are told": cut_lost,
    "nobody is told of what is left": nobody_told_of_what_is_left,
    "nobody is told of what is fed late": nobody_told_of_what_is_fed_late,
    "interrupted starts are not told as ended": interrupted_starts_not_told_as_ended,
    "faults of observers are not caught": faults_of_observers_not_caught,
    "observers are called in another context": observers_called_in_another_context,
    "callbacks set later are not called": sometimes_forgotten(Observer, "changed", every=1),
    "a retry is told as a failure": always(Worker, "_delay", None),
    "attempts are numbered by task": attempts_numbered_by_task,
    "a dashboard does not finish when the run is aborted": dashboard_does_not_finish_when_aborted,
}


@pytest.fixture
def tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave no coroutine behind that a planted bug kept from being awaited."""
    yield
    monkeypatch.setattr("sys.unraisablehook", lambda _unraisable: None)
    gc.collect()


@pytest.mark.usefixtures("quiet", "tidy")
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[bug](monkeypatch)
    modes = MODES[1:] if bug == FOUND_BY_RUN else MODES
    assert any(is_found(fuzz(mode, SCENARIOS_PER_MODE, simplify=False)) for mode in modes)


def is_found(search: Callable[[], None]) -> bool:
    """Whether any scenario fails, in whatever way but that the bug is planted where nothing is."""
    try:
        search()
    except (AttributeError, NameError, KeyboardInterrupt):
        raise
    except BaseException:
        return True
    return False
