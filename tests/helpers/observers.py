"""Observers that are attached to a pipeline without the rules for plugins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from antflow import Pipeline
from antflow._plugins.dispatcher import Listener, Listeners, Observer


class Unmarked:
    """An audience of objects whose functions need no marker; they are called in their order."""

    def __init__(self, *observers: object) -> None:
        self.plugins = dict(zip(_numbered(observers), observers, strict=True))

    def listeners(self, hook: str) -> Listeners:
        return tuple(
            Listener(observer, name, hook, call)
            for name, observer in self.plugins.items()
            if (call := getattr(observer, hook, None)) is not None
            and (not isinstance(observer, Observer) or observer.listens_to(hook))
        )

    def observers(self) -> list[Observer]:
        return [each for each in self.plugins.values() if isinstance(each, Observer)]

    def with_plugins(self, plugins: Mapping[str, object]) -> Unmarked:
        more = [each for each in plugins.values() if each not in self.plugins.values()]
        return Unmarked(*self.plugins.values(), *more)

    def dashboard(self, name: str) -> Any:
        raise NotImplementedError(name)


def observe(pipeline: Pipeline, *observers: object) -> Pipeline:
    """Have a pipeline observed, by nobody else."""
    pipeline._runs.definition.plugins = Unmarked(*observers)  # type: ignore[assignment]
    return pipeline


def _numbered(observers: tuple[object, ...]) -> list[str]:
    seen: Counter[str] = Counter()
    names = []
    for observer in observers:
        name = type(observer).__name__
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names
