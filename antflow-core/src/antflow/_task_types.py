"""What a type checker knows of tasks: the type variables of pipelines, and of chains of tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    # Without the defaults, untyped programs would need annotations. Type checkers know them for
    # every version of Python, which has them itself since 3.13.
    Value_co = TypeVar("Value_co", covariant=True, default=Any)
    In_contra = TypeVar("In_contra", contravariant=True, default=Any)
    Out_co = TypeVar("Out_co", covariant=True, default=Any)
    # The bound lets pyright check the body of a lambda whose argument has no known type.
    Given = TypeVar("Given", bound=Any, default=Any)
    Returned = TypeVar("Returned", default=Any)
    A = TypeVar("A", default=Any)
    B = TypeVar("B", default=Any)
    C = TypeVar("C", default=Any)
    D = TypeVar("D", default=Any)
    Yielded_co = TypeVar("Yielded_co", covariant=True, default=Any)
else:
    Value_co = TypeVar("Value_co", covariant=True)
    In_contra = TypeVar("In_contra", contravariant=True)
    Out_co = TypeVar("Out_co", covariant=True)
    Given = TypeVar("Given")
    Returned = TypeVar("Returned")
    A, B, C, D = (TypeVar(name) for name in "ABCD")
    Yielded_co = TypeVar("Yielded_co", covariant=True)


class Awaited(Protocol[Yielded_co, Value_co]):
    """What `await` accepts."""

    def __await__(self) -> Generator[Yielded_co, Any, Value_co]: ...


# mypy finds X in a coroutine function only if it is not asked for `Awaitable[X] | X`. Between two
# tasks that is enough, since the second says what X is. The last task has no second, so there is a
# type for chains that end with a coroutine function, and one for those that end with a plain one.
# It is `Awaited` and no Awaitable, because two variables keep mypy from taking X for a union of Any
# and a coroutine where the coroutine function has no annotations.
Task = Callable[[A], Awaited[Yielded_co, B] | B]

AsyncTasks = (
    Callable[[Any], Awaitable[Returned]]
    | tuple[Callable[[Any], Awaitable[Returned]]]
    | tuple[Task[Any, Yielded_co, A], Callable[[A], Awaitable[Returned]]]
    | tuple[Task[Any, Yielded_co, A], Task[A, Yielded_co, B], Callable[[B], Awaitable[Returned]]]
    | tuple[
        Task[Any, Yielded_co, A],
        Task[A, Yielded_co, B],
        Task[B, Yielded_co, C],
        Callable[[C], Awaitable[Returned]],
    ]
    | tuple[
        Task[Any, Yielded_co, A],
        Task[A, Yielded_co, B],
        Task[B, Yielded_co, C],
        Task[C, Yielded_co, D],
        Callable[[D], Awaitable[Returned]],
    ]
)
"""One task, or up to five in a row, of which the last is a coroutine function."""

PlainTasks = (
    Callable[[Any], Returned]
    | tuple[Callable[[Any], Returned]]
    | tuple[Task[Any, Yielded_co, A], Callable[[A], Returned]]
    | tuple[Task[Any, Yielded_co, A], Task[A, Yielded_co, B], Callable[[B], Returned]]
    | tuple[
        Task[Any, Yielded_co, A],
        Task[A, Yielded_co, B],
        Task[B, Yielded_co, C],
        Callable[[C], Returned],
    ]
    | tuple[
        Task[Any, Yielded_co, A],
        Task[A, Yielded_co, B],
        Task[B, Yielded_co, C],
        Task[C, Yielded_co, D],
        Callable[[D], Returned],
    ]
)
"""One task, or up to five in a row, of which the last is a plain function."""
