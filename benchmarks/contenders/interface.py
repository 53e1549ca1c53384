"""What a contender's program offers. A module with functions of these names is a program."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

Task = Callable[[int], Coroutine[Any, Any, int]]

Visit = tuple[str, int]
"""A call of a host: the host, and a number."""

VisitTask = Callable[[Visit], Coroutine[Any, Any, Visit]]


class ApiRates(NamedTuple):
    """What a client may ask of an API: requests, and tokens, within any `per` seconds."""

    requests: float
    tokens: float
    per: float


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


class FatalAnswerError(Exception):
    """An answer that asking again does not change, such as 400."""


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

    async def displayed(
        self, items: Sequence[int], tasks: Sequence[Task], workers: int
    ) -> Sequence[object]:
        """Do as `collect`, and show it in a terminal."""

    async def exported(
        self, items: Sequence[int], tasks: Sequence[Task], workers: int, url: str
    ) -> Sequence[object]:
        """Do as `collect`, and send a trace of the items to a receiver of OTLP."""

    def lines_command(self, source: Path, output: Path) -> list[str]:
        """Give the command that reads lines of JSON from a file and writes as many to another."""

    def scraped(self, count: int, workers: int) -> AbstractAsyncContextManager[str]:
        """Enter with that many stages, and give the address at which their metrics are served."""

    async def at_rate(self, items: Sequence[int], task: Task, rate: int, workers: int) -> int:
        """Call the task for each item, at most `rate` times a second, return how many returned.

        At most `workers` calls run at once, where a contender bounds that.
        """

    def visit_all(
        self, visits: Sequence[Visit], task: VisitTask, workers: int, limited: str, rate: int
    ) -> AsyncGenerator[Visit, None]:
        """Call the task for each visit, those of one host at most `rate` times a second."""

    async def ask_all(self, costs: Sequence[int], ask: Task, rates: ApiRates, workers: int) -> int:
        """Call `ask` with the number of each cost, within the rates, and again if that raised.

        Return how many succeeded; a FatalAnswerError is final.
        """

    def submitted(
        self, count: int, task: Task, workers: int
    ) -> AsyncGenerator[SubmittedBatch, None]:
        """Submit that many items in batches; cancel one of ten, and let one expire at once."""

    def answering(self, steps: Sequence[Step]) -> AbstractAsyncContextManager[Answer]:
        """Enter with the steps ready, and give what takes a request through them."""
