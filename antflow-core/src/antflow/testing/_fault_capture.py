"""What the engine logs about plugins that raise, kept as text."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from antflow._engine import display as _display
from antflow._errors.safe_logging import can_be_shown
from antflow._plugins import dispatcher
from antflow._plugins import plugin_set as plugins
from antflow.exceptions import text_of

from ._places import is_of_others

LOGGERS = tuple(module.__name__ for module in (dispatcher, _display, plugins))
OF_ITEMS = re.compile(r"^Pipeline '[^']*': | at item .* in stage .*$")


class Noted(logging.Filter):
    """Turns the errors that plugins raise into text, and keeps them out of the log.

    A log record holds an error, whose frames hold the run; and a test tool keeps log records.

    Args:
        names_items: whether the texts name pipelines and items.
    """

    def __init__(self, names_items: bool) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._names_items = names_items

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the text of an error, and let no such record pass."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return True
        said = record.getMessage().partition("; ")[0]
        if not self._names_items:
            said = OF_ITEMS.sub("", said)
        self.texts.append(f"{said}\n{error_text(error)}")
        return False


def error_text(error: BaseException) -> str:
    """Return an error, and where it comes from, but for the frames of antflow and asyncio.

    What it was raised from is shown, and not what was merely being handled at the time, which is
    the error of the item.
    """
    if not can_be_shown(error):
        return f"{type(error).__name__}: {text_of(error)} (it cannot be shown in full)"
    told = traceback.TracebackException.from_exception(error)
    told.stack = traceback.StackSummary.from_list(
        [frame for frame in told.stack if is_of_others(frame.filename)]
    )
    lines = [*told.stack.format(), *told.format_exception_only()]
    if error.__cause__ is not None:
        lines += ["from:\n", error_text(error.__cause__)]
    return "".join(lines).rstrip()


@contextmanager
def faults_noted(and_silent: Iterable[str] = (), *, names_items: bool = True) -> Iterator[Noted]:
    """Note what plugins raise while this lasts, instead of having it logged.

    Args:
        and_silent: names of loggers that are to be silent meanwhile.
        names_items: whether what is noted names pipelines and items.
    """
    noted = Noted(names_items)
    with ExitStack() as until_the_end:
        for name in LOGGERS:
            until_the_end.enter_context(_heard(logging.getLogger(name), noted))
        for name in and_silent:
            until_the_end.enter_context(_silenced(logging.getLogger(name)))
        yield noted


@contextmanager
def _heard(logger: logging.Logger, noted: Noted) -> Iterator[None]:
    """Have a logger's errors noted, even where logging is switched off."""
    level, was_disabled, below = logger.level, logger.disabled, logging.root.manager.disable
    logging.disable(logging.NOTSET)
    logger.addFilter(noted)
    logger.setLevel(min(logger.getEffectiveLevel(), logging.ERROR))
    logger.disabled = False
    try:
        yield
    finally:
        logger.disabled = was_disabled
        logger.setLevel(level)
        logger.removeFilter(noted)
        logging.disable(below)


@contextmanager
def _silenced(logger: logging.Logger) -> Iterator[None]:
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled
