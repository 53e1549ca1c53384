"""Read-only events and metadata: what the observers of a run share."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NoReturn


class ReadOnlyError(AttributeError, TypeError):
    """A hook has tried to change an event of a run."""


class ReadOnlyDict(dict[str, Any]):
    """The metadata of an event of a run: a dict that raises ReadOnlyError when it is changed."""

    # A dict, so that it can be written as JSON; a MappingProxyType cannot be copied or pickled.
    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Raise ReadOnlyError."""
        raise ReadOnlyError(
            "event.metadata is read-only, since all observers get the same event; take a copy: "
            "dict(event.metadata)"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return deepcopy(dict(self), memo)


NO_METADATA = ReadOnlyDict()


class ReadOnly:
    """An event of a run, which all observers share: setting an attribute raises ReadOnlyError."""

    __slots__ = ()

    def __new__(cls, *values: Any, **fields: Any) -> Any:
        """Return an event that can be changed, as `dataclasses.replace` needs it."""
        return mutable(cls)(*values, **fields)

    def _refuse(self, name: str, *_: Any) -> NoReturn:
        raise ReadOnlyError(
            f"event.{name} is read-only, since all observers get the same event; take a copy: "
            "copy.copy(event)"
        )

    __setattr__ = __delattr__ = _refuse


def mutable(kind: type[Any]) -> type[Any]:
    """Return the public class of an event's class."""
    return next(each for each in kind.__mro__ if not issubclass(each, ReadOnly))


def read_only(kind: type[Any]) -> type[Any]:
    """Return the class of a run's events of this kind."""
    names = {name: getattr(kind, name) for name in ("__doc__", "__module__", "__qualname__")}
    return type(kind.__name__, (ReadOnly, kind), {"__slots__": (), **names})
