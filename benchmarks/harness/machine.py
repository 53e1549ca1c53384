"""The machine in general terms: never its name, never a path."""

import os
import platform
import resource
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter


def description() -> dict[str, str]:
    """Processor, cores, operating system and Python."""
    return {
        "Processor": f"{_processor()}, {_cores()} cores",
        "Operating system": _system(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _busy_seconds() -> float | None:
    """Processor time that the machine has used; what other machines took from it counts too."""
    try:
        _, *ticks = Path("/proc/stat").read_text().partition("\n")[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _waiting, interrupt, soft_interrupt, stolen = map(int, ticks[:8])
    used = user + nice + system + interrupt + soft_interrupt + stolen
    return used / os.sysconf("SC_CLK_TCK")


def _our_seconds() -> float:
    """Processor time of this process and of all children that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Made before a run, says after it how much else the machine had to do meanwhile."""

    begin: float = field(default_factory=perf_counter)
    busy: float | None = field(default_factory=_busy_seconds)
    ours: float = field(default_factory=_our_seconds)

    def cores(self) -> float | None:
        """How many cores other programs used on average, None where that is unknown."""
        busy = _busy_seconds()
        if busy is None or self.busy is None:
            return None
        others = (busy - self.busy) - (_our_seconds() - self.ours)
        return max(0.0, others / (perf_counter() - self.begin))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, model = line.partition(":")
        if name.strip() == "model name":
            return model.strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.platform(terse=True)
    return f"{name}, {platform.machine()}"
