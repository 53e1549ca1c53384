"""Finds what keeps an object alive."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import pairwise
from traceback import walk_tb
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType, TracebackType

MAX_OBJECTS = 50_000
MAX_STEPS = 6
TRACEBACK = ".__traceback__"


def path_from(source: object, target: object) -> str:
    """Return how one object reaches another, such as "Plugin.runs[0]"; "" if it does not."""
    queue, parents = deque([source]), {id(source): source}
    seen = [source]  # keeps the objects alive, so that no id is used twice
    while queue and len(seen) < MAX_OBJECTS:
        this = queue.popleft()  # breadth first, so that the path is a shortest one
        for referent in _referents(this):
            if id(referent) in parents:
                continue
            parents[id(referent)] = this
            seen.append(referent)
            if referent is target:
                return _format_path(_chain(source, target, parents))
            queue.append(referent)
    return ""


def referrers_of(target: object) -> str:
    """Return the types of the objects that refer to an object, without frames."""
    found = {
        type(each).__qualname__
        for each in gc.get_referrers(target)
        if not isinstance(each, FrameType)  # such as that of the caller
    }
    return ", ".join(sorted(found)) or "a frame"


def _referents(obj: object) -> Iterator[object]:
    """Return what an object refers to, without what all code can reach, such as globals."""
    if isinstance(obj, FunctionType):  # without its globals
        yield from (obj.__closure__, obj.__defaults__, obj.__kwdefaults__)
        return
    if isinstance(obj, TracebackType):
        yield from (frame for frame, _ in walk_tb(obj))
        return
    if isinstance(obj, FrameType):  # reached only by a traceback
        yield from obj.f_locals.values()
        caller = obj.f_back  # Python 3.12 keeps it also for a coroutine
        if caller is not None and caller.f_globals.get("__name__", "").startswith("antflow."):
            yield caller
        return
    for referent in gc.get_referents(obj):
        if not isinstance(referent, ModuleType | BuiltinFunctionType | FrameType):
            yield referent


def _chain(source: object, target: object, parents: Mapping[int, object]) -> list[object]:
    """Return the objects from source to target, without the `__dict__` of an object."""
    chain = [target]
    while chain[-1] is not source:
        chain.append(parents[id(chain[-1])])
    chain.reverse()
    return [
        each
        for before, each in pairwise([None, *chain])
        if each is target or each is not getattr(before, "__dict__", None)
    ]


def _format_path(chain: list[object]) -> str:
    steps = [_step(parent, child) for parent, child in pairwise(chain)]
    if len(steps) > MAX_STEPS:
        steps[MAX_STEPS:] = [f" ... {type(chain[-1]).__qualname__}"]
    return type(chain[0]).__qualname__ + "".join(steps)


def _step(parent: object, child: object) -> str:
    """Return how one object leads to the next: by an attribute, a key, an index or a variable."""
    if isinstance(child, FrameType):
        return f"[{child.f_code.co_qualname}]"
    for name, value in _attributes(parent).items():
        if value is child:
            return f".{name}"
    if isinstance(parent, Mapping):
        for key, value in parent.items():
            if value is child and isinstance(key, str | int):
                return f"[{key!r}]"
    if isinstance(parent, list | tuple | deque):
        for index, value in enumerate(parent):
            if value is child:
                return f"[{index}]"
    return f" -> {type(child).__qualname__}"


def _attributes(parent: object) -> Mapping[str, object]:
    """Return the attributes of an object, or the variables of a frame, by name."""
    if isinstance(parent, FrameType):
        return parent.f_locals
    names = dict(getattr(parent, "__dict__", {}))
    if isinstance(parent, BaseException):
        names["__traceback__"] = parent.__traceback__
    return names
