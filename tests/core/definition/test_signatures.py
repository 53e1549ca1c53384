"""The public names with their signatures: each change of one is a change of signatures.txt.

`python -m tests.core.definition.test_signatures` writes the file.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol, get_args

from antflow import hookspecs

FILE = Path(__file__).with_name("signatures.txt")
MODULES = [
    "antflow",
    *("antflow.builder", "antflow.inputs", "antflow.logs", "antflow.plugins", "antflow.tally"),
    *("antflow.testing", "antflow.hookspecs", "antflow_cli"),
]


def signatures() -> Iterator[str]:
    """Yield a line for each public name, and one for each of its members."""
    for module in map(importlib.import_module, MODULES):
        yield f"# {module.__name__}"
        for name in sorted(getattr(module, "__all__", ())) or hook_names():
            if name not in {"__version__", "hookimpl", "hookspec"}:
                yield from describe(name, getattr(module, name))


def hook_names() -> list[str]:
    return [name for name in vars(hookspecs) if name.startswith("antflow_")]


def describe(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        bases = [base for base in value.__bases__ if base is not object]
        names = [base.__name__ for base in bases if "._" not in base.__module__]
        shown = ", ".join(name for name in names if not name.startswith("_"))
        yield f"class {name}({shown})" if shown else f"class {name}"
        yield from (f"    {line}" for line in members(value))
    elif inspect.isroutine(value):
        yield function(name, value)
    elif get_args(value) and all(isinstance(each, str) for each in get_args(value)):
        yield f"{name} = {' | '.join(map(repr, get_args(value)))}"
    else:
        yield name


def members(owner: type) -> Iterator[str]:
    """Yield the members that a class or an antflow class above it defines, first its fields."""
    if dataclasses.is_dataclass(owner):
        yield from (field(each) for each in dataclasses.fields(owner))
    elif "__init__" in vars(owner) and Protocol not in owner.__bases__:
        yield function("__init__", owner.__init__)  # type: ignore[misc]
    for name, value in sorted(public_attributes(owner), key=itemgetter(0)):
        if isinstance(value, property):
            yield f"property {name}"
        elif isinstance(value, classmethod | staticmethod):
            yield f"{type(value).__name__} {function(name, getattr(owner, name))}"
        elif inspect.isfunction(value):
            yield function(name, value)


def public_attributes(owner: type) -> Iterator[tuple[str, Any]]:
    seen = set()
    for each in owner.__mro__:
        for name, value in vars(each).items():
            shown = not name.startswith("_") or name in {"__aenter__", "__aexit__", "__aiter__"}
            if shown and name not in seen and each.__module__.startswith("antflow"):
                seen.add(name)
                yield name, value


def field(of: dataclasses.Field[Any]) -> str:
    kind = " (keyword only)" if of.kw_only else ""
    if not of.init:
        return f"{of.name}: not given"
    if hasattr(of.default, "__get__"):
        return f"{of.name} = ..."
    if of.default is not dataclasses.MISSING:
        return f"{of.name} = {of.default!r}{kind}"
    if of.default_factory is not dataclasses.MISSING:
        return f"{of.name} = {of.default_factory()!r}{kind}"
    return f"{of.name}{kind}"


def function(name: str, value: Callable[..., object]) -> str:
    parameters = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in inspect.signature(value).parameters.values()
    ]
    kind = "async def" if inspect.iscoroutinefunction(value) else "def"
    return f"{kind} {name}{inspect.Signature(parameters)}"


def test_signatures_are_as_listed() -> None:
    assert list(signatures()) == FILE.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    FILE.write_text("".join(f"{line}\n" for line in signatures()), encoding="utf-8")
