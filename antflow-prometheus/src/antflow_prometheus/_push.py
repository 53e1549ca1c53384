"""Pushing metrics to a Pushgateway, for jobs that end before anybody scrapes them."""

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

from ._forks import renewed_in_children
from ._group import Group, group_of

SECONDS = 10.0
"""How long a push may take."""


class Push:
    """Pushes metrics when it is called, instead of those that were pushed of the same group.

    Of all pushes of one group in a process, one is under way at a time: the figures that arrive
    last are the latest.

    Args:
        collector: whose metrics.
        address: of the Pushgateway.
        job: the group's name.
        grouping_key: further labels of the group.

    Raises:
        ValueError: a Pushgateway takes none such.
    """

    def __init__(
        self,
        collector: Collector,
        address: str,
        job: str,
        grouping_key: Mapping[str, str] | None = None,
    ) -> None:
        self._group = group_of(address, job, grouping_key)
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        self._address = address

    async def __call__(self) -> None:
        """Push, for 10 seconds at most.

        Raises:
            OSError: the Pushgateway does not take them.
        """
        pushed: Future[None] = Future()
        Thread(target=self._run, args=(pushed,), name="antflow-metrics-push", daemon=True).start()
        try:
            await wait_for(wrap_future(pushed), SECONDS)
        except HTTPError as error:
            error.close()
            raise self._failed(str(error), "its log says why") from error
        except (OSError, ValueError, HTTPException) as error:
            reason = " ".join(str(error).split()) or (
                f"it took more than {SECONDS:g} seconds, with the wait for earlier pushes"
            )
            raise self._failed(reason, "see whether a Pushgateway listens there") from error
        finally:
            pushed.cancel()

    def _run(self, pushed: Future[None]) -> None:
        """Push, in a thread of its own: it may last for as long as the Pushgateway likes."""
        try:
            is_done = self._push(pushed)
        except BaseException as error:
            pushed.set_exception(error)
        else:
            if is_done:
                pushed.set_result(None)

    def _push(self, pushed: Future[None]) -> bool:
        """Push when all earlier ones have arrived, and return whether anybody waited until then."""
        url, job, labels = self._group.url, self._group.job, dict(self._group.labels)
        lock = LOCKS.of(self._group)
        if not lock.acquire(timeout=SECONDS):
            return False
        try:
            if not pushed.set_running_or_notify_cancel():
                return False
            push_to_gateway(url, job, self._registry, labels, timeout=SECONDS)
            return True
        finally:
            lock.release()

    def _failed(self, reason: str, remedy: str) -> OSError:
        return OSError(
            f"Metrics could not be pushed to {self._address!r} as job {self._group.job!r}: "
            f"{reason}; {remedy}"
        )


class Locks:
    """One lock for each group that is being pushed to."""

    def __init__(self) -> None:
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """Forget all locks."""
        self._guard = Lock()
        self._locks: WeakValueDictionary[Group, Lock] = WeakValueDictionary()

    def of(self, group: Group) -> Lock:
        """Return the lock of a group."""
        with self._guard:
            return self._locks.setdefault(group, Lock())


LOCKS = Locks()
