"""Retry policy: a pure function of attempt and error."""

from __future__ import annotations

from asyncio import CancelledError

import pytest

from antflow.retry import ONCE, RetryPolicy


@pytest.mark.parametrize(
    ("attempts", "attempt", "follows"),
    [
        (1, 1, False),
        (2, 1, True),
        (2, 2, False),
        (3, 1, True),
        (3, 2, True),
        (3, 3, False),
        (3, 4, False),
    ],
)
def test_attempts_count_the_first_one_too(attempts: int, attempt: int, follows: bool) -> None:
    delay = RetryPolicy(attempts, wait_seconds=0.25).delay(attempt, ValueError())
    assert delay == (0.25 if follows else None)


def test_no_wait_is_not_the_end() -> None:
    assert RetryPolicy(2).delay(1, ValueError()) == 0.0


@pytest.mark.parametrize(
    "error", [CancelledError(), KeyboardInterrupt(), SystemExit(), GeneratorExit(), BaseException()]
)
def test_only_an_exception_is_tried_again(error: BaseException) -> None:
    assert RetryPolicy(5).delay(1, error) is None


def test_once_is_a_single_attempt() -> None:
    assert ONCE.delay(1, ValueError()) is None
