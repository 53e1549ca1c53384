"""Log records that name the item they are about."""

from __future__ import annotations

from logging import Filter, LogRecord

from .context import current_item

__all__ = ["ItemFilter"]


class ItemFilter(Filter):
    """Adds `pipeline`, `stage`, `item_id` and `attempt` to log records; no record is removed.

    Add it to a handler, where every record passes; on a logger it would miss the records of the
    loggers below. With a queue of records, add it to the queue's handler: it must run where the
    task runs, on the event loop or in a thread of a stage.

        handler.addFilter(ItemFilter())
        handler.setFormatter(Formatter("%(stage)s %(item_id)s #%(attempt)s: %(message)s"))

    An attribute that a record has already, such as one from `extra`, is left as it is.

    Args:
        outside: the value of the four attributes in a record that was made outside a task.
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
        attributes = vars(record)
        attributes.setdefault("pipeline", pipeline)
        attributes.setdefault("stage", stage)
        attributes.setdefault("item_id", item_id)
        attributes.setdefault("attempt", attempt)
        return True
