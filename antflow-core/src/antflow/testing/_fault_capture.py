"""Captures as text what the engine logs about plugins that raise."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from antflow._engine.running import display as engine_display
from antflow._errors.safe_logging import can_be_shown
from antflow._plugins import dispatcher, plugin_set
from antflow.exceptions import text_of

from ._task_descriptions import is_user_code

FAULT_LOGGERS = tuple(module.__name__ for module in (dispatcher, engine_display, plugin_set))
PIPELINE_AND_ITEM = re.compile(r"^Pipeline '[^']*': | at item .* in stage .*$")


class FaultCapture(logging.Filter):
    """A log filter that takes out the records of plugins' errors, and keeps their text.

    The text only: tools for tests keep log records, a record keeps its error, an error its frames,
    and these the run, so that each error would look like a leak of a run, too.

    Args:
        names_items: whether the texts name pipelines and items.
    """

    def __init__(self, names_items: bool) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._names_items = names_items

    def filter(self, record: logging.LogRecord) -> bool:
        """Take out a record of an error, and keep its text."""
        if record.levelno < logging.ERROR:
            return True
        # the rest of the first line says that the run goes on
        message, _, details = record.getMessage().partition("\n")
        message = message.partition("; ")[0]
        # an error that cannot be formatted is in the message itself: see `log_error`
        if record.exc_info and record.exc_info[1] is not None:
            details = error_text(record.exc_info[1])
        # without names, the same fault in several scenarios is one problem
        if not self._names_items:
            message = PIPELINE_AND_ITEM.sub("", message)
        self.texts.append(f"{message}\n{details}")
        return False


def error_text(error: BaseException) -> str:
    """Return an error and its traceback, without the frames of antflow and asyncio.

    Its cause is shown. Its context is not: in a hook, that is the error of the item.
    """
    if not can_be_shown(error):
        return f"{type(error).__name__}: {text_of(error)} (it cannot be shown in full)"
    summary = traceback.TracebackException.from_exception(error)
    summary.stack = traceback.StackSummary.from_list(
        [frame for frame in summary.stack if is_user_code(frame.filename)]
    )
    lines = [*summary.stack.format(), *summary.format_exception_only()]
    if error.__cause__ is not None:
        lines += ["from:\n", error_text(error.__cause__)]
    return "".join(lines).rstrip()


@contextmanager
def capture_faults(
    muted_loggers: Iterable[str] = (), *, names_items: bool = True
) -> Iterator[FaultCapture]:
    """Capture what plugins raise inside the context, instead of having it logged.

    Args:
        muted_loggers: names of loggers that log nothing inside the context.
        names_items: whether the texts name pipelines and items.
    """
    capture = FaultCapture(names_items)
    with ExitStack() as stack:
        for name in FAULT_LOGGERS:
            stack.enter_context(_captured(logging.getLogger(name), capture))
        for name in muted_loggers:
            stack.enter_context(_muted(logging.getLogger(name)))
        yield capture


@contextmanager
def _captured(logger: logging.Logger, capture: FaultCapture) -> Iterator[None]:
    """Capture a logger's errors, even where logging is switched off."""
    level, was_disabled, below = logger.level, logger.disabled, logging.root.manager.disable
    # a filter sees only the records that pass these three settings
    logging.disable(logging.NOTSET)
    logger.addFilter(capture)
    logger.setLevel(min(logger.getEffectiveLevel(), logging.ERROR))
    logger.disabled = False
    try:
        yield
    finally:
        logger.disabled = was_disabled
        logger.setLevel(level)
        logger.removeFilter(capture)
        logging.disable(below)


@contextmanager
def _muted(logger: logging.Logger) -> Iterator[None]:
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled
