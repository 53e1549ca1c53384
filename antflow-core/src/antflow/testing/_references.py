"""What keeps an object alive."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import pairwise
from traceback import walk_tb
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType, TracebackType

MOST_SEARCHED = 50_000
MOST_STEPS = 6
TRACEBACK = ".__traceback__"


def path_from(source: object, target: object) -> str:
    """Return the way on which one object keeps another, such as "Plugin.runs[0]"; "" for none."""
    waiting, kept_by = deque([source]), {id(source): source}
    seen = [source]  # so that no id is used twice
    while waiting and len(seen) < MOST_SEARCHED:
        this = waiting.popleft()
        for referent in _kept_by(this):
            if id(referent) in kept_by:
                continue
            kept_by[id(referent)] = this
            seen.append(referent)
            if referent is target:
                return _written(_chain(source, target, kept_by))
            waiting.append(referent)
    return ""


def referrers_of(target: object) -> str:
    """Return the types of what refers to an object, but for the present code."""
    found = {
        type(each).__qualname__
        for each in gc.get_referrers(target)
        if not isinstance(each, FrameType)
    }
    return ", ".join(sorted(found)) or "a frame"


def _kept_by(thing: object) -> Iterator[object]:
    """Return what an object refers to, but for what all code can reach anyway."""
    if isinstance(thing, FunctionType):
        yield from (thing.__closure__, thing.__defaults__, thing.__kwdefaults__)
        return
    if isinstance(thing, TracebackType):
        yield from (frame for frame, _ in walk_tb(thing))
        return
    if isinstance(thing, FrameType):  # of a traceback, and no other
        yield from thing.f_locals.values()
        caller = thing.f_back  # which Python 3.12 keeps of a coroutine, too
        if caller is not None and caller.f_globals.get("__name__", "").startswith("antflow."):
            yield caller
        return
    for referent in gc.get_referents(thing):
        if not isinstance(referent, ModuleType | BuiltinFunctionType | FrameType):
            yield referent


def _chain(source: object, target: object, kept_by: Mapping[int, object]) -> list[object]:
    """Return the objects from the first to the last, without those that hold attributes."""
    chain = [target]
    while chain[-1] is not source:
        chain.append(kept_by[id(chain[-1])])
    chain.reverse()
    return [
        each
        for before, each in pairwise([None, *chain])
        if each is target or each is not getattr(before, "__dict__", None)
    ]


def _written(chain: list[object]) -> str:
    steps = [_step(parent, child) for parent, child in pairwise(chain)]
    if len(steps) > MOST_STEPS:
        steps[MOST_STEPS:] = [f" ... {type(chain[-1]).__qualname__}"]
    return type(chain[0]).__qualname__ + "".join(steps)


def _step(parent: object, child: object) -> str:
    """Return how one object leads to the next: by an attribute, a key, a place or a variable."""
    if isinstance(child, FrameType):
        return f"[{child.f_code.co_qualname}]"
    for name, value in _names_of(parent).items():
        if value is child:
            return f".{name}"
    if isinstance(parent, Mapping):
        for key, value in parent.items():
            if value is child and isinstance(key, str | int):
                return f"[{key!r}]"
    if isinstance(parent, list | tuple | deque):
        for place, value in enumerate(parent):
            if value is child:
                return f"[{place}]"
    return f" -> {type(child).__qualname__}"


def _names_of(parent: object) -> Mapping[str, object]:
    if isinstance(parent, FrameType):
        return parent.f_locals
    names = dict(getattr(parent, "__dict__", {}))
    if isinstance(parent, BaseException):
        names["__traceback__"] = parent.__traceback__
    return names
