"""What a contender's program offers. A module with functions of these names is a program."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

Task = Callable[[int], Coroutine[Any, Any, int]]


class Step(NamedTuple):
    """A step of a request: a coroutine function or a plain one, and how many calls run at once."""

    task: Callable[[int], Any]
    workers: int


Answer = Callable[[int], Coroutine[Any, Any, int]]
"""Takes a number through all steps."""


class SubmittedBatch(NamedTuple):
    """Items that were submitted, and that have all ended.

    Args:
        ended: how many.
        dropped: how many of them were cancelled or expired.
        seconds: that the calls which submit them took.
    """

    ended: int
    dropped: int
    seconds: float


class Program(Protocol):
    """The work that measurements ask of a contender; most programs offer only `collect`."""

    async def collect(
        self, items: Sequence[int], tasks: Sequence[Task], workers: int
    ) -> Sequence[object]:
        """Run the items through one stage per task and return all results."""

    async def calls(
        self, items: Sequence[int], function: Callable[[int], object], workers: int
    ) -> int:
        """Call a function of any kind with each item, return how many results there are."""

    async def consume(self, items: Iterable[int], tasks: Sequence[Task], workers: int) -> int:
        """Run a lazy input through one stage per task, keep nothing, return how many came out."""

    async def retried(
        self, items: Sequence[int], tasks: Sequence[Task], workers: int, attempts: int
    ) -> Sequence[object]:
        """Do as `collect`, and make up to so many attempts at each task, without a wait."""

    def idle(self, workers: int) -> AbstractAsyncContextManager[None]:
        """Enter with that many workers started, each having had an item, and no item left."""

    def busy(self, count: int, workers: int) -> AbstractAsyncContextManager[Callable[[], object]]:
        """Enter with that many stages, each worker holding an item; give what takes a snapshot."""

    async def exported(
        self, items: Sequence[int], tasks: Sequence[Task], workers: int, url: str
    ) -> Sequence[object]:
        """Do as `collect`, and send a trace of the items to a receiver of OTLP."""

    def scraped(self, count: int, workers: int) -> AbstractAsyncContextManager[str]:
        """Enter with that many stages, and give the address at which their metrics are served."""

    def submitted(
        self, count: int, task: Task, workers: int
    ) -> AsyncGenerator[SubmittedBatch, None]:
        """Submit that many items in batches; cancel one of ten, and let one expire at once."""

    def answering(self, steps: Sequence[Step]) -> AbstractAsyncContextManager[Answer]:
        """Enter with the steps ready, and give what takes a request through them."""
