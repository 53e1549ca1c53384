"""What items may be read from, and what is refused there with a remedy."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Iterable, Mapping, Sized
from math import isnan
from types import GeneratorType
from typing import Any, TypeAlias, TypeVar

from antflow._errors.safe_logging import log_error
from antflow._errors.texts import short
from antflow.inputs import single_item
from antflow.items import Item
from antflow.results import PipelineResult, UnprocessedItem

T = TypeVar("T")

Source = Iterable[Any] | AsyncIterable[Any]

Input: TypeAlias = Item | UnprocessedItem | PipelineResult[Any] | Mapping[str, Any] | T
"""One item of a pipeline whose first task takes a T; a dict may have the item's id and value."""

Inputs: TypeAlias = Iterable[Input[T]] | AsyncIterable[Input[T]]

MANY_ITEMS = frozenset((list, tuple, range, set, frozenset, GeneratorType))
"""Types of inputs that need no look at what else they may be."""


def checked_source(items: Source, pipeline: str, *, read_in_thread: bool = False) -> Source:
    """Return the input of a pipeline if it has many items.

    Raises:
        TypeError: it cannot be iterated over, it is one item, or only a plain iterable will do.
    """
    if type(items) in MANY_ITEMS:
        return items
    if (problem := single_item(items)) is not None:
        raise TypeError(f"Pipeline {pipeline!r} takes many items, but {problem}")
    is_async = isinstance(items, AsyncIterable)
    if not is_async and not isinstance(items, Iterable) and not hasattr(items, "__getitem__"):
        raise TypeError(
            f"Pipeline {pipeline!r} takes items from an iterable or async iterable, not from "
            f"{items!r}; put a single item in a list"
        )
    if is_async and read_in_thread:
        raise TypeError(
            f"Pipeline {pipeline!r} cannot read {short(items)} in a thread: it is an async "
            "iterable, which runs on the event loop; leave out read_in_thread"
        )
    return items


def length_of(items: object) -> int | None:
    """Return the number of items in an input; None if it does not say one."""
    # A loader without a length may have a `__len__` that raises, and `len()` refuses large numbers.
    try:
        return len(items) if isinstance(items, Sized) else None
    except Exception:
        return None


_logger = logging.getLogger(__name__)


class InputFraction:
    """Returns the share of an input that has been read, from 0 to 1; None if it is unknown.

    Args:
        source: an input that may have a method `fraction_read()`.
    """

    def __init__(self, source: object = None) -> None:
        try:
            method = getattr(source, "fraction_read", None)
        except Exception:  # an object that makes its attributes may raise anything
            method = None
        self._fraction_read: Any = method if callable(method) else None

    def __call__(self) -> float | None:
        """Return the share; may be called from any thread."""
        if self._fraction_read is None:
            return None
        try:
            fraction = self._fraction_read()
            return None if fraction is None else _between_0_and_1(fraction)
        except Exception as error:
            self._fraction_read = None  # or each update of a dashboard would log it again
            log_error(
                _logger,
                error,
                "fraction_read() of the input raised; it is not called again, and the run goes on.",
            )
            return None


def _between_0_and_1(fraction: Any) -> float | None:
    share = float(fraction)
    return None if isnan(share) else min(1.0, max(0.0, share))
