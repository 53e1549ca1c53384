"""The ways of items into a channel, each of which counts those that came over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .channel import Channel


class Entry:
    """The way of items that are fed to a stage.

    Args:
        channel: where they arrive.

    Attributes:
        received: how many items have come over it.
    """

    __slots__ = ("channel", "received")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.received = 0


class Sender(Protocol):
    """A worker, which counts what it sends.

    Attributes:
        processed: how many items it has sent.
    """

    processed: int


class Edge:
    """The way of items from a stage to the next one, or to the results.

    Args:
        channel: where they arrive.
        stage: name of the stage behind the channel; None for the results of the run.

    Attributes:
        senders: the workers of the stage before.
        reported: how many items have come over it, as each sender said when it last looked for an
            item.
    """

    __slots__ = ("channel", "reported", "senders", "stage")

    def __init__(self, channel: Channel, stage: str | None) -> None:
        self.channel = channel
        self.stage = stage
        self.senders: Sequence[Sender] = ()
        self.reported = 0

    @property
    def received(self) -> int:
        """How many items have come over it; from any thread."""
        # Each worker counts its own: an addition here for each item would cost no-ops 4%.
        return sum(sender.processed for sender in self.senders)
