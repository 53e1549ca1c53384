"""What runs in the present context: the way back from a user's function to its worker."""

from contextvars import ContextVar

CURRENT_WORKER: ContextVar[object | None] = ContextVar("antflow_current_worker", default=None)
"""The worker on whose behalf the present code runs; set once by each worker in its own context."""
