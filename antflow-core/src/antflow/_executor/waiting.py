"""Waiting for several futures."""

# ruff: noqa: SLF001 - futures are known to their executor

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, Generic, TypeVar

from .future import AsyncFuture

T = TypeVar("T")


class WaitStrategy(Enum):
    """When `AsyncExecutor.wait` returns."""

    ALL_COMPLETED = "ALL_COMPLETED"
    FIRST_COMPLETED = "FIRST_COMPLETED"
    FIRST_EXCEPTION = "FIRST_EXCEPTION"


class Wait(Generic[T]):
    """Waits for futures until its strategy is satisfied."""

    def __init__(self, futures: set[AsyncFuture[T]], strategy: WaitStrategy) -> None:
        self.done = {future for future in futures if future.done()}
        self.pending = futures - self.done
        self.satisfied: Future[None] = get_running_loop().create_future()
        self._strategy = strategy
        for future in self.pending:
            future._check_await()
        for future in self.pending:
            future.add_done_callback(self._note)
        self._check(self.done)

    def stop(self) -> None:
        """Wait no more."""
        for future in self.pending:
            future._remove_done_callback(self._note)

    def _note(self, future: AsyncFuture[T]) -> None:
        self.pending.discard(future)
        self.done.add(future)
        self._check({future})

    def _check(self, ended: set[AsyncFuture[T]]) -> None:
        is_over = not self.pending
        if self._strategy is WaitStrategy.FIRST_COMPLETED:
            is_over = is_over or bool(ended)
        elif self._strategy is WaitStrategy.FIRST_EXCEPTION:
            is_over = is_over or any(future._state == "failed" for future in ended)
        if is_over and not self.satisfied.done():
            self.satisfied.set_result(None)


@contextmanager
def cancelling(futures: MutableSequence[AsyncFuture[Any]]) -> Iterator[None]:
    """Cancel what has not ended at the end; what was not asked for is not logged then."""
    try:
        yield
    finally:
        for future in futures:
            future._abandon()
        futures.clear()  # or the traceback of an error would keep the futures, which keep the error


def results_of(futures: list[AsyncFuture[T]]) -> list[T]:
    """Return the results of calls, or raise the first error; some may go on if there is one."""
    future = None
    try:
        for future in futures:
            if future.done():
                future._received()
        return [each._received() for each in futures]
    finally:
        del future  # as above
