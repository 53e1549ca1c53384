"""Logging errors of users' code, including those that cannot be formatted."""

from __future__ import annotations

from logging import ERROR, Logger
from traceback import format_exception, format_tb

from antflow.exceptions import text_of


def can_be_shown(error: BaseException) -> bool:
    """Return whether Python can format an error."""
    # It cannot if the error's notes raise when they are read, or if a SyntaxError has odd
    # arguments. A log handler could then lose the record, or raise in the engine.
    try:
        format_exception(error)
    except BaseException:
        return False
    return True


def log_error(logger: Logger, error: BaseException, text: str, *arguments: object) -> None:
    """Log an error with its traceback; if it cannot be formatted, log the parts that can be.

    Args:
        text: the message, with the placeholders of logging.
    """
    if not logger.isEnabledFor(ERROR):
        return
    # The `stacklevel` makes the record name the caller, as with a plain `logger.error`.
    if can_be_shown(error):
        logger.error(text, *arguments, exc_info=error, stacklevel=2)
        return
    text += "\nTraceback (most recent call last):\n%s%s: %s (it cannot be shown in full)"
    parts = "".join(format_tb(error.__traceback__)), type(error).__name__, text_of(error)
    logger.error(text, *arguments, *parts, stacklevel=2)
