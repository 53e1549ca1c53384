"""Who takes part: where each program is, and in which environment it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from typing import cast

from benchmarks.contenders.interface import Program

HERE = "here"
PEERS = "peers"
PREDECESSOR = "antflow-0.10.0"
THIS_CHECKOUT = "this checkout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One side of a comparison.

    `module` is its program in this package. `environment` is `HERE` (the running interpreter,
    with a checkout's sources first) or the name of a `requirements-NAME.txt`. `imports` is
    the package that it imports, `distribution` what that was installed from, and `settings`
    are environment variables of its process.
    """

    name: str
    label: str
    module: str
    environment: str = HERE
    imports: str | None = None
    distribution: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_of_checkout(self) -> bool:
        """Whether it imports antflow from the sources of a checkout."""
        return self.environment == HERE and self.imports is not None

    def program(self) -> Program:
        """Import and return the program. Works only inside the contender's environment."""
        return cast(Program, import_module(f"benchmarks.contenders.{self.module}"))

    def version(self) -> str | None:
        """The version under measurement, None for a program of plain Python."""
        if self.distribution is not None:
            return version(self.distribution)
        if self.imports is not None:
            return str(import_module(self.imports).__version__)
        return None


def _ours(name: str, label: str, module: str, **settings: str) -> Contender:
    return Contender(
        name=name,
        label=f"{label} ({THIS_CHECKOUT})",
        module=module,
        imports="antflow",
        settings={"ANTFLOW_PLUGIN_AUTOLOAD": "0", **settings},
    )


def _with_plugins(name: str, label: str, plugins: str) -> Contender:
    return _ours(name, f"antflow with {label}", "antflow_plugins", BENCH_PLUGINS=plugins)


def _beside(name: str, label: str, plugin: str) -> Contender:
    return _ours(name, f"antflow beside {label}, left out", "antflow_plugins", BENCH_BESIDE=plugin)


def _exported(name: str, what: str, sampled: str) -> Contender:
    label = f"antflow, {what} traced and sent"
    return _ours(name, label, "antflow_exported", BENCH_SAMPLED=sampled)


def _limited(name: str, label: str) -> Contender:
    return _ours(f"antflow-{name}", f"antflow with {label}", "antflow_limited", BENCH_LIMIT=name)


def _by_hand(name: str, label: str, way: str) -> Contender:
    return Contender(name=name, label=label, module="spans_by_hand", settings={"BENCH_SPANS": way})


def _peer(imports: str, module: str, distribution: str, label: str = "") -> Contender:
    return Contender(
        name=imports,
        label=label or distribution,
        module=module,
        environment=PEERS,
        imports=imports,
        distribution=distribution,
    )


def _around_tasks(name: str) -> Contender:
    return _peer(name, f"queues_with_{name}", name, f"asyncio.Queue pipeline with {name}")


_ALL = (
    Contender(name="bare", label="bare `await` loop", module="bare_loop"),
    Contender(name="queue", label="asyncio.Queue pipeline", module="asyncio_queues"),
    _ours("antflow", "antflow", "antflow_pipeline"),
    _ours("antflow-tracker", "antflow with a tracker", "antflow_tracker"),
    _ours("antflow-callbacks", "antflow with a tracker that calls back", "antflow_callbacks"),
    _with_plugins("antflow-idle-plugin", "a plugin that implements nothing", "idle"),
    _with_plugins("antflow-observer", "an observer", "observer"),
    _with_plugins("antflow-3-observers", "three observers", "observer observer observer"),
    _beside("antflow-beside-prometheus", "antflow-prometheus", "prometheus"),
    _with_plugins("antflow-prometheus", "antflow-prometheus", "prometheus"),
    _beside("antflow-beside-otel", "antflow-otel", "otel"),
    _with_plugins("antflow-otel", "antflow-otel and no provider", "otel"),
    _with_plugins("antflow-otel-unsampled", "antflow-otel, not sampled", "otel-unsampled"),
    _with_plugins("antflow-otel-traces", "antflow-otel's traces", "otel-traces"),
    _exported("antflow-otlp", "every item", "1"),
    _exported("antflow-otlp-sampled", "one item in a hundred", "0.01"),
    _by_hand("spans", "spans by hand", "current"),
    _by_hand("lean-spans", "spans by hand, the attempt's alone made current", "lean"),
    _by_hand("queue-spans", "asyncio.Queue pipeline with spans by hand", "queue"),
    _beside("antflow-beside-quantiles", "antflow-otel and its SDK", "otel-quantiles"),
    _with_plugins("antflow-otel-quantiles", "antflow-otel's quantiles", "otel-quantiles"),
    _with_plugins("antflow-otel-histograms", "antflow-otel's histograms", "otel-histograms"),
    _ours(
        "antflow-scraped",
        "antflow-prometheus's server",
        "antflow_scraped",
        BENCH_SERVER="antflow_prometheus",
    ),
    _ours(
        "antflow-scraped-by-the-library",
        "prometheus_client's server",
        "antflow_scraped",
        BENCH_SERVER="prometheus_client",
    ),
    _ours(
        "antflow-scraped-among-runs",
        "antflow-prometheus's server, while runs begin and end",
        "antflow_scraped",
        BENCH_SERVER="antflow_prometheus",
        BENCH_RUNS="1",
    ),
    _limited("rate", "a rate"),
    _limited("concurrency", "a concurrency"),
    _limited("rate-of-100-keys", "a rate for each of 100 keys"),
    Contender(name="semaphores", label="semaphores and asyncio.to_thread", module="semaphores"),
    _ours("antflow-service", "antflow", "antflow_service"),
    _ours("antflow-executor", "antflow's executor", "antflow_executor"),
    Contender(name="task-group", label="TaskGroup and semaphore", module="task_group"),
    _peer("streamable", "streamable_map", "streamable"),
    _peer("pyper", "pyper_pipeline", "python-pyper"),
    _peer("aiometer", "aiometer_amap", "aiometer"),
    _peer("pypeln", "pypeln_tasks", "pypeln"),
    _peer("aiostream", "aiostream_pipe", "aiostream"),
    _around_tasks("tenacity"),
    _around_tasks("stamina"),
    Contender(
        name="antflow-0.10.0",
        label="antflow 0.10.0",
        module="antflow_pipeline",
        environment=PREDECESSOR,
        imports="antflow",
        distribution="antflow",
    ),
)

CONTENDERS: Mapping[str, Contender] = {contender.name: contender for contender in _ALL}
"""Every contender by name, in the order in which tables show them."""
