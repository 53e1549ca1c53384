"""The hierarchy of errors, as its tree is drawn at the top of the module."""

from __future__ import annotations

import pickle

import pytest

from antflow import exceptions
from antflow.exceptions import AntFlowError, PipelineError, StageValidationError, TaskFailedError


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (AntFlowError, Exception),
        (PipelineError, AntFlowError),
        (StageValidationError, PipelineError),
        (TaskFailedError, AntFlowError),
    ],
)
def test_each_error_stands_where_the_tree_shows_it(
    error: type[Exception], base: type[Exception]
) -> None:
    assert error.__bases__ == (base,)


def test_the_tree_shows_every_error() -> None:
    tree = exceptions.__doc__ or ""
    errors = [
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    ]
    assert [name for name in errors if name not in tree] == []


def test_a_failed_task_is_named_with_what_it_raised() -> None:
    cause = ValueError("no such page")
    error = TaskFailedError("fetch", cause)
    assert error.task_name == "fetch"
    assert error.original_exception is cause
    assert "'fetch'" in str(error)
    assert "ValueError('no such page')" in str(error)


@pytest.mark.parametrize("error", [AntFlowError, PipelineError, StageValidationError])
def test_errors_keep_their_text_through_pickle(error: type[Exception]) -> None:
    copy = pickle.loads(pickle.dumps(error("what to do instead")))
    assert type(copy) is error
    assert str(copy) == "what to do instead"
