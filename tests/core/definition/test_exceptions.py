"""Public exceptions survive pickling and copying."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import antflow
from antflow import (
    AntFlowError,
    AttemptTimeoutError,
    ExecutorShutdownError,
    GiveUp,
    ItemDroppedError,
    ItemsFailedError,
    ItemTimeoutError,
    Pipeline,
    PipelineError,
    PipelineFullError,
    PipelineResult,
    PluginError,
    PluginWarning,
    RetryAfter,
    Stage,
    StageValidationError,
    TaskFailedError,
    TooManyFailuresError,
    UnprocessedItem,
)
from tests.helpers.runs import raised_by, refuse_odd, stage
from tests.helpers.virtual_time import simulate


class KeywordOnlyError(PipelineError):
    """A program's own error, with another constructor."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


RESULT = PipelineResult(1, "value", 0, metadata={"key": "value"})
FAILURE = PipelineResult(2, "value", 1, error=ValueError("broken"), stage="Work", attempts=3)
LEFT = UnprocessedItem(3, "value", {}, 100, "Work", 2)
MADE: list[Callable[[str], Exception]] = [
    AntFlowError,
    PipelineError,
    StageValidationError,
    PipelineFullError,
    lambda text: TooManyFailuresError(
        text, results=[RESULT], failures=[FAILURE], unprocessed=[LEFT]
    ),
    lambda text: ItemsFailedError(text, [ValueError(text)], results=[RESULT], failures=[FAILURE]),
    lambda text: ItemDroppedError(text, reason="a duplicate"),
    AttemptTimeoutError,
    ExecutorShutdownError,
    ItemTimeoutError,
    lambda text: RetryAfter(len(text), KeyError(text)),
    lambda text: GiveUp(KeyError(text)),
    lambda text: PluginError(text, plugin="journal", hook="antflow_item_start", item_id=(1, text)),
    lambda text: TaskFailedError(text, KeyError(text)),
    PluginWarning,
    lambda text: KeywordOnlyError(code=len(text)),
]
COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    *(
        lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    ),
]


def seen(error: BaseException) -> Any:
    """Return everything that a program can read of an error, so that it can be compared."""
    attributes = {key: repr(value) for key, value in vars(error).items()}
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return type(error), str(error), repr(error.args), attributes, [repr(part) for part in parts]


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("make_copy", COPIES)
@settings(max_examples=10)
@given(text=st.text(), note=st.text())
def test_an_error_survives_pickling_and_copying_with_its_attributes(
    make: Callable[[str], Exception], make_copy: Callable[[Any], Any], text: str, note: str
) -> None:
    error: Any = make(text)
    error.add_note(note)
    error.added = [text]
    copied = make_copy(error)
    assert copied is not error
    assert seen(copied) == seen(error)


def test_every_public_exception_is_among_these() -> None:
    public = {vars(antflow)[name] for name in antflow.__all__}
    errors = {each for each in public if isinstance(each, type) and issubclass(each, Exception)}
    assert errors <= {type(make("text")) for make in MADE}


def make_too_many() -> BaseException | None:
    pipeline = Pipeline([stage(refuse_odd)], max_failures=1)
    return simulate(lambda: raised_by(pipeline.run(range(9))))


def make_failed() -> BaseException | None:
    pipeline = Pipeline([stage(refuse_odd)])
    return simulate(lambda: raised_by(pipeline.run(range(9), raise_failures=True)))


def make_refused() -> BaseException | None:
    arguments: dict[str, Any] = {"name": "Work", "worker": 1}
    try:
        Stage(**arguments)
    except StageValidationError as error:
        return error
    return None


@pytest.mark.parametrize("make", [make_too_many, make_failed, make_refused])
@pytest.mark.parametrize("make_copy", COPIES)
def test_so_does_an_error_that_antflow_raised(
    make: Callable[[], BaseException | None], make_copy: Callable[[Any], Any]
) -> None:
    error = make()
    assert error is not None
    assert seen(make_copy(error)) == seen(error)
