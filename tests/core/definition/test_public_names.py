"""What `import antflow` offers, and what it does: nothing but to offer it."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import antflow

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(antflow.__path__, prefix="antflow.")
)


def test_a_star_import_gives_the_listed_names_and_no_module() -> None:
    names: dict[str, Any] = {}
    exec("from antflow import *", names)
    del names["__builtins__"]
    assert sorted(names) == sorted(antflow.__all__)
    assert [name for name, value in names.items() if inspect.ismodule(value)] == []


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert antflow.__version__ == version("antflow-core")


NAMES: dict[str, str] = {
    "antflow.pipeline": "Pipeline Stage PipelineBuilder",
    "antflow.types": """
        PipelineResult UnprocessedItem PipelineStats StageStats WorkerState WorkerMetrics
        DashboardSnapshot DashboardProtocol ErrorSummary FailedItem StatusEvent TaskEvent StatusType
        TaskEventType TaskFunc WorkerStatus
    """,
    "antflow.exceptions": "AntFlowError PipelineError StageValidationError TaskFailedError",
    "antflow.tracker": "StatusTracker StatusEvent",
    "antflow.context": """
        set_task_status current_item concurrency_limit rate_limit call_rate_has_capacity
    """,
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in NAMES for name in NAMES[module].split()]
)
def test_a_name_is_the_same_wherever_it_is_imported_from(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) is getattr(antflow, name)


# Docstrings


def documentable() -> Iterator[tuple[str, Any]]:
    """All modules, and their public classes, functions, methods and properties."""
    for name in ["antflow", *MODULES]:
        module = importlib.import_module(name)
        yield name, module
        for key, value in vars(module).items():
            if key.startswith("_") or getattr(value, "__module__", None) != name:
                continue
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{name}.{key}", value
            if inspect.isclass(value):
                yield from members(f"{name}.{key}", value)


def members(path: str, owner: type) -> Iterator[tuple[str, Any]]:
    for key, value in vars(owner).items():
        described = isinstance(value, property | classmethod | staticmethod)
        if not key.startswith("_") and (described or inspect.isfunction(value)):
            yield f"{path}.{key}", value


def test_everything_public_has_a_docstring_of_its_own() -> None:
    things = dict(documentable())
    assert things.keys() > {"antflow.stage", "antflow.stage.Stage", "antflow.stage.Stage.validate"}
    docs = {path: (thing.__doc__ or "").strip() for path, thing in things.items()}
    assert [path for path, doc in docs.items() if not doc] == []
    # One that dataclass makes up is the signature.
    assert [path for path, doc in docs.items() if doc.startswith(f"{path.split('.')[-1]}(")] == []


# What an import does

PROBE = """
import asyncio, gc, json, logging, signal, sys, threading, warnings

def state():
    return {
        "threads": threading.active_count(),
        "root handlers": len(logging.getLogger().handlers),
        "root level": logging.getLogger().level,
        "logging disabled below": logging.root.manager.disable,
        "handlers of antflow": len(logging.getLogger("antflow").handlers),
        "level of antflow": logging.getLogger("antflow").level,
        "level of asyncio": logging.getLogger("asyncio").level,
        "signal handlers": [str(signal.getsignal(n)) for n in sorted(signal.valid_signals())],
        "hooks": [repr(hook) for hook in (
            sys.excepthook, sys.unraisablehook, threading.excepthook, sys.gettrace(),
            sys.getprofile(), *sys.get_asyncgen_hooks(), sys.get_coroutine_origin_tracking_depth(),
        )],
        "warning filters": len(warnings.filters),
        "garbage collection": [gc.isenabled(), gc.get_threshold(), len(gc.callbacks)],
        "recursion limit": sys.getrecursionlimit(),
        "switch interval": sys.getswitchinterval(),
    }

before, modules = state(), set(sys.modules)
import antflow
print(json.dumps([before, state(), sorted(set(sys.modules) - modules)]))
"""


@pytest.fixture(scope="module")
def imported() -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The state of a fresh process before and after `import antflow`, and the new modules."""
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", PROBE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    before, after, modules = json.loads(done.stdout)  # nothing else is printed
    return before, after, modules


def test_importing_changes_nothing_in_the_process(imported: tuple[Any, Any, Any]) -> None:
    before, after, _ = imported
    assert after == before


@pytest.mark.parametrize(
    "heavy", ["importlib.metadata", "unittest", "multiprocessing", "http", "sqlite3", "tkinter"]
)
def test_importing_imports_nothing_heavy(imported: tuple[Any, Any, Any], heavy: str) -> None:
    assert heavy not in imported[2]


def test_importing_imports_itself_pluggy_and_the_standard_library_only(
    imported: tuple[Any, Any, Any],
) -> None:
    roots = {name.partition(".")[0] for name in imported[2]}
    assert roots - set(sys.stdlib_module_names) == {"antflow", "pluggy"}
