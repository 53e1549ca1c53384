"""Tracebacks without antflow's frames, and the user's line that raised an error.

An error refers to its traceback, and so to each frame that it went through. A frame that has the
error in a variable, too, forms a cycle with it: both, and the items that they hold, stay until the
garbage collector finds them. So such a frame ends with a `del` of the variable.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from inspect import currentframe
from os.path import normcase
from types import TracebackType
from typing import NoReturn

from .safe_logging import can_be_shown

_PACKAGE = normcase(__file__).rsplit(os.sep, 2)[0] + os.sep
_TESTING = _PACKAGE + "testing" + os.sep
_STANDARD_LIBRARY = (normcase(traceback.__file__).rpartition(os.sep)[0] + os.sep, "<frozen ")
_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))

MAX_GROWING = 50
"""Entries of a traceback above which the next raise of the same error cuts it."""


def location(error: BaseException) -> str | None:
    """Return the user's innermost frame of an error, as "fetch.py:4, in fetch".

    That is the innermost frame outside of antflow, the standard library and installed packages. If
    there is none, it is the outermost frame outside of antflow, which is the task function. For an
    exception group, the first of its errors counts. For an error that Python raised outside of any
    frame, such as "coroutine raised StopIteration", its cause counts.

    Returns:
        The frame; None if the error has no traceback outside of antflow.
    """
    found = _frame_to_show(error)
    return None if found is None else f"{_place(found)}, in {found.tb_frame.f_code.co_name}"


def place(error: BaseException) -> str | None:
    """Return file and line of the same frame as `location`, as "fetch.py:4"."""
    found = _frame_to_show(error)
    return None if found is None else _place(found)


def format_traceback(
    error: BaseException, *, hidden: Collection[str] = (), chain: bool = True
) -> str:
    """Return an error's traceback as text, without antflow's frames.

    These frames are removed from the error itself, too.

    Args:
        error: the error.
        hidden: further packages whose frames are removed, such as the one of your program.
        chain: whether to show the errors that it came from.

    Returns:
        The lines, each with a line feed. "" if no frame is left, as the traceback would only repeat
        the error's text, or if Python cannot format the error.
    """
    if not can_be_shown(error):
        return ""
    remove_own_frames(error, hidden)
    shown = [_first_leaf(error), error, *_causes(error)] if chain else [error]
    if any(each.__traceback__ is not None for each in shown):
        return "".join(traceback.format_exception(error, chain=chain))
    # A SyntaxError has no frame of its file; its own text shows the line.
    is_syntax_error = isinstance(error, SyntaxError)
    return "".join(traceback.format_exception_only(error)) if is_syntax_error else ""


def remove_own_frames(error: BaseException, hidden: Collection[str] = ()) -> None:
    """Remove antflow's frames from an error's traceback, in place.

    The same is done for causes, contexts and the errors of a group. If an error is raised again and
    again, such as one made when a module is imported, a long traceback keeps only the latest raise.

    Args:
        error: the error.
        hidden: further packages whose frames are removed.
    """
    seen: set[int] = set()
    rest = [error]
    while rest:
        error = rest.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        # Python chains the error of a retry to that of the attempt before, if antflow was handling
        # that one. The two have nothing to do with each other.
        context = error.__context__
        if context is not None and context is not error.__cause__ and _is_caught_here(context):
            set_on(error, "__context__", None)
        set_on(error, "__traceback__", _without_own(error.__traceback__, hidden))
        linked = [error.__cause__, error.__context__]
        if isinstance(error, BaseExceptionGroup):
            linked += error.exceptions
        rest += [other for other in linked if other is not None]


def limit_traceback(error: BaseException) -> None:
    """Cut the traceback of an error that is raised again and again, as `remove_own_frames` does."""
    # For errors that no item fails with: nearly all of them are raised once, and cost a short walk.
    entry, left = error.__traceback__, MAX_GROWING
    while entry is not None:
        if not left:
            remove_own_frames(error)
            return
        entry, left = entry.tb_next, left - 1


def callers_level() -> int:
    """Return the `stacklevel` with which a warning names the line that called antflow."""
    frame, level = currentframe(), 0
    while frame is not None and _is_of_antflow(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    return level


def reraise(error: BaseException) -> NoReturn:
    """Raise an error again and keep its context, as a bare `raise` does."""
    # `raise error` would replace the context by the error that is being handled.
    context = error.__context__
    try:
        raise error
    finally:
        set_on(error, "__context__", context)
        del error, context


def raise_kept(error: BaseException) -> NoReturn:
    """Raise the error of a failed item, with the traceback that it had in the task."""
    # Each raise adds entries to the traceback; those of earlier calls of this are removed first.
    set_on(error, "__traceback__", _kept_traceback(error))
    raise error


@contextmanager
def unchanged_traceback(error: BaseException) -> Iterator[None]:
    """Restore an error's traceback after a block that may raise the error itself."""
    kept = error.__traceback__
    try:
        yield
    finally:
        set_on(error, "__traceback__", kept)
        del error, kept


def set_on(error: BaseException, name: str, value: object) -> None:
    """Set an attribute that each exception has, such as `__cause__`, on an error of any class."""
    # Not `error.name = value`: an exception that is a frozen dataclass refuses that.
    BaseException.__setattr__(error, name, value)


def _frame_to_show(error: BaseException) -> TracebackType | None:
    """Return the frame that `location` describes."""
    for shown in (_first_leaf(error), error, *_causes(error)):
        outermost = innermost_of_user = None
        for each in _frames(_kept_traceback(shown)):
            if not _is_own(each):
                outermost = outermost or each
                if _is_users(each):
                    innermost_of_user = each
        if outermost is not None:
            return innermost_of_user or outermost
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}  # a user may have made a circle of causes
    while (cause := error.__cause__) is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        error = cause


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _place(entry: TracebackType) -> str:
    name = entry.tb_frame.f_code.co_filename.replace(os.sep, "/").rpartition("/")[2]
    line: int | None = entry.tb_lineno  # None where the compiler knows of none
    return name if line is None else f"{name}:{line}"


def _frames(entry: TracebackType | None) -> Iterator[TracebackType]:
    """Yield the entries of a traceback, from the outermost to the innermost."""
    while entry is not None:
        yield entry
        entry = entry.tb_next


def _kept_traceback(error: BaseException) -> TracebackType | None:
    """Return an error's traceback without what was added when `raise_kept` raised it."""
    entry = error.__traceback__
    for each in _frames(entry):
        if each.tb_frame.f_code is raise_kept.__code__:
            entry = each.tb_next
    return entry


def _without_own(entry: TracebackType | None, hidden: Collection[str] = ()) -> TracebackType | None:
    """Return a traceback without the entries of antflow and of hidden packages."""
    # Python puts the entries of each raise in front of those that an error has already. For one
    # error object that many items fail with, work and memory would grow with their number. So a
    # long traceback is cut at the entries that were returned before.
    kept: list[TracebackType] = []
    for each in _frames(entry):
        if each.tb_frame.f_trace is _returned_before:
            if not kept:
                return each
            break
        if not (_is_own(each) or (hidden and _package_of(each) in hidden)):
            kept.append(each)
    rest: TracebackType | None = None
    for each in reversed(kept):
        # Copied only where something changes, and not changed in place: Python walks through all
        # later entries when `tb_next` is set.
        rest = each if each.tb_next is rest else _copy(each, rest)
    if rest is not None and len(kept) > MAX_GROWING:
        # A traceback has no attribute of its own for a mark. This one of its frame is for
        # debuggers, and of no use when the frame has ended.
        rest.tb_frame.f_trace = _returned_before
    return rest


def _returned_before(*_: object) -> None:
    """Mark the outermost frame of a long traceback."""


def _copy(entry: TracebackType, following: TracebackType | None) -> TracebackType:
    line: int | None = entry.tb_lineno
    return TracebackType(following, entry.tb_frame, entry.tb_lasti, -1 if line is None else line)


def _is_caught_here(error: BaseException) -> bool:
    """Return whether antflow caught an error: the outermost frame is that of the catching code."""
    return error.__traceback__ is not None and _is_own(error.__traceback__)


def _is_own(entry: TracebackType) -> bool:
    """Return whether a frame is antflow's; those of its testing kit count as the user's."""
    return _is_of_antflow(entry.tb_frame.f_code.co_filename)


@lru_cache(maxsize=1000)
def _is_of_antflow(file: str) -> bool:
    path = normcase(file)
    return path.startswith(_PACKAGE) and not path.startswith(_TESTING)


def _package_of(entry: TracebackType) -> str:
    name: str = entry.tb_frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def _is_users(entry: TracebackType) -> bool:
    """Return whether a frame that is not antflow's is outside of all libraries."""
    return not _is_of_libraries(entry.tb_frame.f_code.co_filename)


@lru_cache(maxsize=1000)
def _is_of_libraries(file: str) -> bool:
    path = normcase(file)
    return path.startswith(_STANDARD_LIBRARY) or any(name in path for name in _INSTALLED)
