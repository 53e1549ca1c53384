"""What a contender's program offers. A module with functions of these names is a program."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

Task = Callable[[int], Coroutine[Any, Any, int]]


class Program(Protocol):
    """The work that measurements ask of a contender; most programs offer only `collect`."""

    async def collect(
        self, items: Sequence[int], tasks: Sequence[Task], workers: int
    ) -> Sequence[object]:
        """Run the items through one stage per task and return all results."""

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
