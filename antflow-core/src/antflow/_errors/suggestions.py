"""Errors for wrong arguments, which name the caller, the argument and what to give instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, NamedTuple, TypeVar, cast

from antflow.exceptions import StageValidationError

Explained = TypeVar("Explained", bound=Callable[..., Any])


class UnknownFieldError(StageValidationError, TypeError):
    """A stage was given an unknown keyword; also a TypeError, which Python raises for one."""


class Advice(NamedTuple):
    """How a function is called.

    Args:
        remedies: by what errors say instead of a guess, the words that other libraries use.
        example: right calls, for a function whose arguments are often confused.
    """

    remedies: Mapping[str, str]
    example: str = ""


ATTEMPTS = "retrys retry_count num_retries max_retries attempts max_attempts tries max_tries"
AT_ONCE = "concurrency max_concurrency parallelism max_workers num_workers n_workers pool_size"
RATES = "rate rate_limit max_rate requests_per_second rps"
WAITS = "wait wait_seconds delay retry_delay backoff"
FUNCTIONS = "task func function fn target"

_OF_STAGES = {
    "give task_timeout for one attempt, or item_timeout for all of them": "timeout",
    "give limits=[Limit(rate=..., per=...)]": RATES,
    "give retry_wait": WAITS,
    "give on_failure": "on_error error_callback",
}

ADVICE = {
    "Stage": Advice(
        {
            "give task_attempts, or stage_attempts with retry='per_stage'": f"retries {ATTEMPTS}",
            "give workers, or limits=[Limit(concurrency=...)]": AT_ONCE,
            "give tasks=[function]": "func function fn target",
            "did you mean 'retry'?": "retry_policy",
            **_OF_STAGES,
        }
    ),
    "add": Advice(
        {
            "give retries": ATTEMPTS,
            "give workers, or limits=[Limit(concurrency=...)]": AT_ONCE,
            "give the tasks after the name": f"tasks {FUNCTIONS}",
            "give retry_policy": "retry",
            **_OF_STAGES,
        }
    ),
    "Pipeline": Advice(
        {
            "give it to each Stage": f"workers tasks retries timeout {ATTEMPTS} {AT_ONCE} {RATES}",
            "give status_tracker": "tracker",
        }
    ),
    "run": Advice(
        {"give it to the stages": f"workers retries timeout limits {ATTEMPTS} {AT_ONCE} {RATES}"}
    ),
    "quick": Advice(
        {
            "give retries": f"task_attempts {ATTEMPTS}",
            "give workers, or limits=[Limit(concurrency=...)]": AT_ONCE,
            "give tasks": FUNCTIONS,
            **_OF_STAGES,
            "give task_timeout": "timeout",
        },
        "Pipeline.quick(items, task, workers=5, retries=3)",
    ),
    "Limit": Advice(
        {
            "give rate": "calls requests max_calls max_rate limit n",
            "give per": "period interval window seconds time_period per_seconds",
            "give concurrency": "workers value max_workers max_concurrency max_concurrent",
        },
        "Limit(rate=10, per=1.0) or Limit(concurrency=10)",
    ),
    "Backoff": Advice(
        {
            "give initial": "base start min minimum delay initial_delay",
            "give maximum": "max cap max_delay max_wait",
            "give factor": "multiplier exponent exp_base",
        },
        "Backoff(initial=0.5, maximum=60.0, factor=2.0)",
    ),
    "Adaptive": Advice(
        {"give minimum": "min initial start", "give maximum": "max limit concurrency"},
        "Limit(concurrency=Adaptive(minimum=1, maximum=200))",
    ),
    "AsyncExecutor": Advice(
        {
            "give max_workers": "workers concurrency max_concurrency n_workers",
            "give it to submit() or map()": f"retries timeout {ATTEMPTS} {WAITS}",
        },
        'AsyncExecutor(max_workers=5, name="executor")',
    ),
}
"""By the name of a class or function; in `remedies`, words stand in one string."""


def nearest(word: object, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`, whatever its case; None if none is similar."""
    from difflib import get_close_matches  # needed for errors only

    if not isinstance(word, str):
        return None
    by_lower = {one.lower(): one for one in known}
    close = get_close_matches(word.lower(), list(by_lower), n=1)
    return by_lower[close[0]] if close else None


def unknown_keyword(function: str, word: str, known: Iterable[str]) -> str:
    """Return the text of an error about an unknown keyword, behind the name of the caller.

    Args:
        function: its name in `ADVICE`.
        known: the keywords that are accepted.
    """
    known, advice = list(known), ADVICE[function]
    remedies = {each: text for text, words in advice.remedies.items() for each in words.split()}
    near = word if word in remedies else nearest(word, [*known, *remedies])
    remedy = f"it takes {', '.join(known)}"
    if near is not None:
        remedy = remedies.get(near) or f"did you mean {near!r}?"
    example = advice.example and f" (for example {advice.example})"
    return f"takes no keyword {word!r}; {remedy}{example}"


def explains_arguments(explained: Explained) -> Explained:
    """Decorate a class or an async method that `ADVICE` names, to explain wrong arguments.

    These are an unknown keyword and, where there is an example, an argument too many. Its signature
    stays the same.
    """
    if not isinstance(explained, type):
        return cast("Explained", _explained(explained, explained.__name__))
    explained.__init__ = _explained(explained.__init__, explained.__name__)  # type: ignore[misc]
    return explained


def _explained(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    code = function.__code__
    known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]  # without self or cls

    def check(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        problem = ""
        if unknown := next((word for word in keywords if word not in known), ""):
            problem = unknown_keyword(name, unknown, known)
        elif len(arguments) > code.co_argcount and (example := ADVICE[name].example):
            most = code.co_argcount - 1
            number = "1 argument" if most == 1 else f"{most} arguments"
            kinds = f"at most {number} by position" if most else "keywords only"
            problem = f"takes {kinds}; write {example}"
        if problem:
            error = UnknownFieldError if name == "Stage" else TypeError
            raise error(f"{_caller(function, known, arguments, keywords)} {problem}")

    if iscoroutinefunction(function):

        @wraps(function)
        async def call(*arguments: Any, **keywords: Any) -> Any:
            check(arguments, keywords)
            return await function(*arguments, **keywords)

    else:

        @wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            check(arguments, keywords)
            return function(*arguments, **keywords)

    return call


def _caller(
    function: Callable[..., Any],
    known: Iterable[str],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
) -> str:
    """Return what is called, as an error names it: with the name of the object if it has one."""
    kind, _, method = function.__qualname__.rpartition(".")
    if method != "__init__":
        name = getattr(arguments[0], "name", None)
        return f"{kind} {name!r}: {method}()" if isinstance(name, str) else f"{kind}.{method}()"
    defaults = function.__kwdefaults__ or {}
    given = {**defaults, **dict(zip(known, arguments[1:], strict=False)), **keywords}
    return f"{kind} {given['name']!r}" if isinstance(given.get("name"), str) else kind
