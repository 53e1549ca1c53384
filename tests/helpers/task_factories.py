"""The task factories that a test is repeated with, as far as the running Python has them."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

TASK_FACTORIES: dict[str, Any] = {"plain": None}
if sys.version_info >= (3, 12):
    TASK_FACTORIES["eager"] = asyncio.eager_task_factory

each_task_factory = pytest.mark.parametrize(
    "factory", TASK_FACTORIES.values(), ids=TASK_FACTORIES.keys()
)
