"""Pushing metrics to a Pushgateway, for jobs that end before anybody scrapes them."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, push_to_gateway
from prometheus_client.registry import Collector

SECONDS = 10.0
"""How long a push may take."""


class Push:
    """Pushes metrics when it is called, instead of those that were pushed of the same group.

    Args:
        collector: whose metrics.
        address: of the Pushgateway.
        job: the group's name.
        grouping_key: further labels of the group.
    """

    def __init__(
        self,
        collector: Collector,
        address: str,
        job: str,
        grouping_key: Mapping[str, str] | None = None,
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        self._address = address
        self._job = job
        self._grouping_key = dict(grouping_key or {})

    def __call__(self) -> None:
        """Push.

        Raises:
            OSError: the Pushgateway does not take them.
        """
        try:
            push_to_gateway(
                self._address, self._job, self._registry, self._grouping_key, timeout=SECONDS
            )
        except (OSError, ValueError) as error:
            raise OSError(
                f"Metrics could not be pushed to {self._address!r} as job {self._job!r}: {error}; "
                "see whether a Pushgateway listens there"
            ) from error
