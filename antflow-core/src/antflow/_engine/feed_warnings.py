"""Warnings about feeding, each logged once a run."""

from __future__ import annotations

import logging

from .run_state import RunState
from .stage_runtime import StageRuntime

_logger = logging.getLogger(__name__)


class FeedWarnings:
    """Warns of feeds that make memory grow, and of those that wait for a start.

    Args:
        run: the state of the run.
    """

    def __init__(self, run: RunState) -> None:
        self._run = run
        self._logged: set[str] = set()

    def warn_of_growth(self, stage: StageRuntime) -> None:
        """Warn of a task or callback that feeds a full stage, where it does not wait."""
        self._warn_once(
            "growth",
            "Pipeline %r: a task or callback feeds stage %r past its capacity of %d, since waiting "
            "there for room could make the pipeline wait for itself; so memory grows with what "
            "they feed. If that is intended, %s. If memory must stay bounded, feed less there or "
            "from outside of the pipeline.",
            self._run.name,
            stage.name,
            stage.stage.capacity,
            "leave out pull and set queue_capacity=0 on the stage"
            if stage.stage.pull
            else "set queue_capacity=0 on the stage",
        )

    def warn_if_not_started(self, stage: StageRuntime) -> None:
        """Warn of a feed that waits for room in a pipeline that is not started."""
        if self._run.is_new:
            self._warn_once(
                "start",
                "Pipeline %r is not started, and stage %r is full: feed waits. Call start() first, "
                "or use run().",
                self._run.name,
                stage.name,
            )

    def _warn_once(self, topic: str, text: str, *arguments: object) -> None:
        if topic not in self._logged:
            self._logged.add(topic)
            _logger.warning(text, *arguments)
