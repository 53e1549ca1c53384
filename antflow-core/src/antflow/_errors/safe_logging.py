"""Logging the errors of others, also those that logging itself would stumble over."""

from __future__ import annotations

from logging import ERROR, Logger
from traceback import format_exception, format_tb

from antflow.exceptions import text_of


def can_be_shown(error: BaseException) -> bool:
    """Tell whether Python can show an error.

    It cannot where notes raise that are asked for, or where a syntax error has odd arguments; then
    logging raises in its turn, to whoever logs.
    """
    try:
        format_exception(error)
    except Exception:
        return False
    return True


def log_error(logger: Logger, error: BaseException, text: str, *arguments: object) -> None:
    """Log an error with its traceback; of one that cannot be shown, what can be had.

    Args:
        logger: which one.
        error: what was raised.
        text: what it means, as for logging.
        arguments: of the text.
    """
    if not logger.isEnabledFor(ERROR):
        return
    if can_be_shown(error):
        logger.error(text, *arguments, exc_info=error, stacklevel=2)
        return
    text += "\nTraceback (most recent call last):\n%s%s: %s (it cannot be shown in full)"
    had = "".join(format_tb(error.__traceback__)), type(error).__name__, text_of(error)
    logger.error(text, *arguments, *had, stacklevel=2)
