"""The plugin: adds runs to the collector, and serves or pushes the metrics if configured."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Iterable, Mapping

from prometheus_client import REGISTRY, CollectorRegistry

from antflow import DURATION_BOUNDS, Pipeline, hookimpl

from ._collector import get_collector
from ._environment import JOB, PROCESS_SERVER, PUSHGATEWAY, add_options, port_of
from ._family import Buckets
from ._push import Pusher

DEFAULT_BUCKETS: Buckets = tuple(bound for bound in DURATION_BOUNDS if 0.001 <= bound <= 100)
"""Upper bounds in seconds, inclusive: 1-2.5-5 in each decade from a millisecond to 100 s."""


class Prometheus:
    """The plugin that gives Prometheus the metrics of every stage, read when they are scraped.

    Args:
        registry: the registry of the metrics; all plugins with the same registry add to the same
            metrics.
        buckets: upper bounds of the histograms in seconds, chosen from `antflow.DURATION_BOUNDS`.
        pushgateway: address of a Pushgateway to which antflow's metrics are pushed at the end of
            each run, such as "127.0.0.1:9091"; None for the value of the environment variable
            ANTFLOW_PROMETHEUS_PUSHGATEWAY, if it is set.
        job: the job label of pushed metrics; None for the value of ANTFLOW_PROMETHEUS_JOB, or
            else "antflow".
        grouping_key: further labels by which the Pushgateway keeps pushes apart.

    Raises:
        TypeError: `registry` is not a CollectorRegistry.
        ValueError: a bucket is not one of `antflow.DURATION_BOUNDS`, `registry` has other metrics
            with the same names, the address, job or grouping key is invalid for a Pushgateway, or
            an environment variable has an invalid value.
    """

    antflow_name = "prometheus"

    def __init__(
        self,
        registry: CollectorRegistry = REGISTRY,
        buckets: Iterable[float] = DEFAULT_BUCKETS,
        *,
        pushgateway: str | None = None,
        job: str | None = None,
        grouping_key: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(registry, CollectorRegistry):
            raise TypeError(
                f"registry of Prometheus is {registry!r}; give a prometheus_client "
                "CollectorRegistry, or leave it out for the default one"
            )
        self._buckets = _check_buckets(buckets)
        port_of(os.environ)  # an invalid value raises here, not in a run
        self._registry = registry
        self._collector = get_collector(registry)
        address = pushgateway or os.environ.get(PUSHGATEWAY, "").strip()
        job = job or os.environ.get(JOB, "").strip() or "antflow"
        self._pusher = Pusher(self._collector, address, job, grouping_key) if address else None

    @hookimpl
    def antflow_add_options(self, parser: ArgumentParser) -> None:
        """Add the options for the address at which `antflow run` serves metrics."""
        add_options(parser)

    @hookimpl
    def antflow_configure(self, options: Namespace) -> None:
        """Open the server that the options of `antflow run` configure."""
        PROCESS_SERVER.open_from_options(
            options.prometheus_port, options.prometheus_addr, os.environ
        )

    # First and last, so that a run counts while other plugins' hooks are called.

    @hookimpl(tryfirst=True)
    def antflow_pipeline_start(self, pipeline: Pipeline) -> None:
        """Add the run to the totals, and open the server that the environment configures."""
        self._collector.start_run(pipeline, self._buckets)
        # The server shows the default registry; a plugin with another one needs none.
        if self._registry is REGISTRY:
            PROCESS_SERVER.open_or_warn(os.environ)

    @hookimpl(trylast=True)
    def antflow_pipeline_finish(self, pipeline: Pipeline) -> Awaitable[None] | None:
        """Keep the totals of the run, and push them if a Pushgateway is configured."""
        self._collector.totals.finish_run(pipeline)
        return None if self._pusher is None else self._pusher.push()


def _check_buckets(buckets: Iterable[float]) -> Buckets:
    """Return buckets in ascending order, without infinity, which every histogram has."""
    try:
        chosen = {float(bound) for bound in buckets} - {float("inf")}
    except (TypeError, ValueError):
        raise ValueError(
            f"buckets of Prometheus are {buckets!r}; give upper bounds in seconds, such as "
            "[0.01, 0.1, 1]"
        ) from None
    choices = ", ".join(f"{bound:g}" for bound in DURATION_BOUNDS)
    for bound in sorted(chosen - set(DURATION_BOUNDS)):
        raise ValueError(
            f"buckets of Prometheus has {bound!r}, which antflow does not count; choose among "
            f"{choices}"
        )
    if not chosen:
        raise ValueError(f"buckets of Prometheus is empty; choose among {choices}")
    return tuple(sorted(chosen))
