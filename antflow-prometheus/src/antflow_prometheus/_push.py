"""Pushes metrics to a Pushgateway, for jobs that end before a scrape."""

from __future__ import annotations

from asyncio import wait_for, wrap_future
from collections.abc import Mapping
from concurrent.futures import Future
from http.client import HTTPException
from threading import Lock, Thread
from urllib.error import HTTPError
from weakref import WeakValueDictionary

from prometheus_client import CollectorRegistry, push_to_gateway
from prometheus_client.registry import Collector

from antflow.exporting import reset_after_fork

from ._push_group import PushGroup, parse_group

SECONDS = 10.0
"""The time limit of a push."""


class Pusher:
    """Pushes metrics to a group of a Pushgateway, in place of the group's earlier metrics.

    A process pushes to each group one push at a time, and collects the metrics when it is that
    push's turn. So the values that arrive last are the latest.

    Args:
        collector: collects the metrics.
        address: the address of the Pushgateway.
        job: the group's job label.
        grouping_key: further labels of the group.

    Raises:
        ValueError: one of them is invalid for a Pushgateway.
    """

    def __init__(
        self,
        collector: Collector,
        address: str,
        job: str,
        grouping_key: Mapping[str, str] | None = None,
    ) -> None:
        self._group = parse_group(address, job, grouping_key)
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        self._address = address

    async def push(self) -> None:
        """Push, for at most 10 seconds.

        Raises:
            OSError: the push failed or took too long.
        """
        pushed: Future[None] = Future()
        # A daemon: the exit of the interpreter does not wait for a slow Pushgateway.
        Thread(target=self._run, args=(pushed,), name="antflow-metrics-push", daemon=True).start()
        try:
            await wait_for(wrap_future(pushed), SECONDS)
        except HTTPError as error:
            error.close()
            raise self._push_error(str(error), "its log says why") from error
        except (OSError, ValueError, HTTPException) as error:
            reason = " ".join(str(error).split()) or (
                f"it took more than {SECONDS:g} seconds, with the wait for earlier pushes"
            )
            raise self._push_error(reason, "see whether a Pushgateway listens there") from error
        finally:
            pushed.cancel()

    def _run(self, pushed: Future[None]) -> None:
        """Push, in a thread of its own: a slow Pushgateway may block it beyond the time limit."""
        try:
            is_done = self._push(pushed)
        except BaseException as error:
            pushed.set_exception(error)
        else:
            if is_done:
                pushed.set_result(None)

    def _push(self, pushed: Future[None]) -> bool:
        """Push after all earlier pushes; return False if the caller no longer waits."""
        url, job, labels = self._group.url, self._group.job, dict(self._group.labels)
        lock = GROUP_LOCKS.get(self._group)
        # Without a limit, each run would add a thread while a Pushgateway does not answer.
        if not lock.acquire(timeout=SECONDS):
            return False
        try:
            # The caller may have given up while this push waited for its turn.
            if not pushed.set_running_or_notify_cancel():
                return False
            push_to_gateway(url, job, self._registry, labels, timeout=SECONDS)
            return True
        finally:
            lock.release()

    def _push_error(self, reason: str, remedy: str) -> OSError:
        return OSError(
            f"Metrics could not be pushed to {self._address!r} as job {self._group.job!r}: "
            f"{reason}; {remedy}"
        )


class GroupLocks:
    """A lock for each group with a push in progress."""

    def __init__(self) -> None:
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        """Drop all locks."""
        self._guard = Lock()
        # Weak, so that a lock goes with the last push that uses it.
        self._locks: WeakValueDictionary[PushGroup, Lock] = WeakValueDictionary()

    def get(self, group: PushGroup) -> Lock:
        """Return the lock of a group."""
        with self._guard:
            return self._locks.setdefault(group, Lock())


GROUP_LOCKS = GroupLocks()
