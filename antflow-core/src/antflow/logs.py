"""Log records that say which item they are about."""

from __future__ import annotations

from logging import Filter, LogRecord

from .context import current_item

__all__ = ["ItemFilter"]


class ItemFilter(Filter):
    """Adds `pipeline`, `stage`, `item_id` and `attempt` to the log records of tasks; drops none.

    It belongs on a handler of the logging module, where every record passes; on a logger it would
    not see those of the loggers below it. In front of a queue it belongs on the queue's handler,
    for it has to be asked where the task runs: on the event loop or in a thread of a stage.

        handler.addFilter(ItemFilter())
        handler.setFormatter(Formatter("%(stage)s %(item_id)s #%(attempt)s: %(message)s"))

    An attribute that a record has already, as by `extra`, is left as it is.

    Args:
        outside: what the four say in a record that no task has made.
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
