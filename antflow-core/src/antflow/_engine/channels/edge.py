"""`Edge`: a way of items from feeders or a stage to what takes them next."""

from __future__ import annotations

from .channel import Channel


class Edge:
    """Leads into one channel, and counts the items that came over it.

    Args:
        channel: where they arrive.
        stage: name of the stage behind the channel; None for the results of the run.

    Attributes:
        received: how many items have come over it.
    """

    __slots__ = ("channel", "received", "stage")

    def __init__(self, channel: Channel, stage: str | None) -> None:
        self.channel = channel
        self.stage = stage
        self.received = 0
