"""Log records that name their item, and texts and errors made fit for a terminal."""

from __future__ import annotations

from logging import Filter, Formatter, LogRecord

from ._errors.texts import escape_controls, message_text, shorten
from ._errors.tracebacks import format_traceback
from .context import current_item
from .exceptions import text_of

__all__ = [
    "UNPROCESSED_LOGGER",
    "ItemFilter",
    "TerminalFormatter",
    "escape_controls",
    "format_traceback",
    "shorten",
    "text_of",
]

UNPROCESSED_LOGGER = "antflow.unprocessed"
"""Name of the logger that warns when a run ends and leaves items unprocessed.

A program that reports these items itself may silence it.
"""


class TerminalFormatter(Formatter):
    """A `logging.Formatter` for terminals: cuts what it returns, and escapes control characters.

    Log records and their tracebacks may contain names and error texts that others have written.
    The middle of a text of more than 10,000 characters is left out. Line feeds stay.

        handler.setFormatter(TerminalFormatter("%(levelname)s: %(message)s"))

    The arguments are those of `logging.Formatter`.
    """

    def format(self, record: LogRecord) -> str:
        """Return the text of a record, with its traceback if it has one."""
        return message_text(super().format(record))


class ItemFilter(Filter):
    """Adds `pipeline`, `stage`, `item_id` and `attempt` to log records; removes no record.

    Add it to a handler, which sees every record; on a logger, it would miss the records of child
    loggers. If records go through a queue, add it to the `QueueHandler`: it must run where the task
    runs, on the event loop or in a thread of a stage.

        handler.addFilter(ItemFilter())
        handler.setFormatter(Formatter("%(stage)s %(item_id)s #%(attempt)s: %(message)s"))

    It does not replace an attribute that a record has already, such as one from `extra`.

    Args:
        outside: the value of the four attributes in a record made outside a task.
    """

    def __init__(self, outside: object = "-") -> None:
        super().__init__()
        self._outside = outside

    def filter(self, record: LogRecord) -> bool:
        """Add the four attributes, and let the record pass."""
        item = current_item()
        if item is None:
            pipeline = stage = item_id = attempt = self._outside
        else:
            pipeline, stage = item.pipeline, item.stage
            item_id, attempt = item.id, item.attempt
        attributes = vars(record)  # setdefault keeps what `extra` has set
        attributes.setdefault("pipeline", pipeline)
        attributes.setdefault("stage", stage)
        attributes.setdefault("item_id", item_id)
        attributes.setdefault("attempt", attempt)
        return True
