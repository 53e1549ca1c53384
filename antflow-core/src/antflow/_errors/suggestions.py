"""Errors for unknown keywords, which name the object, the word and the nearest known word."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, TypeVar

from antflow.exceptions import StageValidationError

Owner = TypeVar("Owner")
Method = Callable[..., Any]
Explain = Callable[[Method, tuple[Any, ...], dict[str, Any]], None]


class UnknownFieldError(StageValidationError, TypeError):
    """A stage was given an unknown keyword; also a TypeError, which Python raises for one."""


def nearest(word: object, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`, whatever its case; None if none is similar."""
    from difflib import get_close_matches  # needed for errors only

    if not isinstance(word, str):
        return None
    by_lower = {one.lower(): one for one in known}
    close = get_close_matches(word.lower(), list(by_lower), n=1)
    return by_lower[close[0]] if close else None


def remedy(word: str, known: Iterable[str], instead: Mapping[str, str] | None = None) -> str:
    """Return the remedy in an error about an unknown keyword.

    Args:
        word: the unknown keyword.
        known: the keywords that are accepted.
        instead: remedies for keywords of other functions, by the keyword.
    """
    known, instead = list(known), instead or {}
    near = nearest(word, [*known, *instead])
    if near is None:
        return f"it takes {', '.join(known) or 'none'}"
    return instead.get(near) or f"did you mean {near!r}?"


def explains_keywords(
    kind: str,
    *,
    name: str = "name",
    error: type[Exception] = TypeError,
    instead: Mapping[str, str] | None = None,
    public_name: str | None = None,
) -> Callable[[type[Owner]], type[Owner]]:
    """Decorate a class so that its constructor and public methods explain an unknown keyword.

    Signatures stay the same.

    Args:
        kind: the noun for an object of the class in errors.
        name: the attribute that holds the object's name.
        error: type of the error.
        instead: remedies for keywords of other functions, by the keyword.
        public_name: name of the class in Python's own errors; None for the decorated one.
    """

    def explain(method: Method, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        known = list(inspect.signature(method).parameters)[1:]  # without self or cls
        unknown = next((word for word in keywords if word not in known), None)
        if unknown is not None:
            caller = _caller(kind, name, method, arguments, keywords)
            end = remedy(unknown, known, instead)
            raise error(f"{caller} takes no keyword {unknown!r}; {end}") from None

    def decorate(owner: type[Owner]) -> type[Owner]:
        for key, member in list(vars(owner).items()):
            if key.startswith("_") and key != "__init__":
                continue
            if public_name is not None and inspect.isfunction(member):
                member.__qualname__ = f"{public_name}.{key}"
            if isinstance(member, classmethod):
                setattr(owner, key, classmethod(_explained(member.__func__, explain)))
            elif inspect.isfunction(member):
                setattr(owner, key, _explained(member, explain))
        return owner

    return decorate


def _explained(method: Method, explain: Explain) -> Method:
    """Wrap a method so that a TypeError for an unknown keyword is explained.

    Args:
        method: the method.
        explain: raises the better error; it returns if the TypeError has another cause.
    """
    # Keywords are not checked before the call: Python does that anyway, so that a correct call
    # costs only the wrapper.
    parameters = inspect.signature(method).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return method  # it checks its keywords itself

    @wraps(method)
    def call(*arguments: Any, **keywords: Any) -> Any:
        try:
            return method(*arguments, **keywords)
        except TypeError:
            explain(method, arguments, keywords)
            raise

    return _as_coroutine_function(call) if inspect.iscoroutinefunction(method) else call


def _as_coroutine_function(function: Method) -> Method:
    """Mark a function that returns a coroutine as a coroutine function."""
    # An `async def` around the method would make a second coroutine in each call.
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    # Only `inspect` looks at this flag; an instruction in the code is what makes a coroutine.
    flags = function.__code__.co_flags | inspect.CO_COROUTINE
    function.__code__ = function.__code__.replace(co_flags=flags)
    return function


def _caller(
    kind: str, name: str, method: Method, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> str:
    """Return the name of the called constructor or method in an error."""
    if method.__name__ == "__init__":
        called = _given_name(method, arguments, keywords)
        return f"{kind} {called!r}" if isinstance(called, str) else kind
    if not arguments or isinstance(arguments[0], type):
        return f"{kind}.{method.__name__}()"
    return f"{kind} {getattr(arguments[0], name, None)!r}: {method.__name__}()"


def _given_name(method: Method, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> object:
    """Return the name that a constructor was called with, or its default."""
    signature = inspect.signature(method)
    known = {word: value for word, value in keywords.items() if word in signature.parameters}
    try:
        bound = signature.bind_partial(*arguments, **known)
    except TypeError:  # too many arguments, or one given twice
        return None
    bound.apply_defaults()
    return bound.arguments.get("name")
