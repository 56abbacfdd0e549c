"""A user of a load test: asks what the plan says, in its order, at its pace."""

from __future__ import annotations

import time
from typing import ClassVar

import gevent
from gevent.pool import Group
from locust import User
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadtests.arrivals import Arrivals
from loadtests.load_run import LoadRun
from loadtests.prepared import Prepared

TOKEN_RETRY_S = 1.0
LONGEST_LATE_NS = 10_000_000_000
"""What is due for longer than this is dropped, and counted."""


class ScenarioUser(User):
    """One user. Locust starts and stops it, and waits between its rounds.

    A round is one request drawn by weight, or all requests in their order. Its first request is due when
    the one before it ended and was thought about, on the grid of `pacing_s`, or when it arrived.
    """

    abstract = True
    run_of: ClassVar[LoadRun]
    arrivals: ClassVar[Arrivals | None]
    draining: ClassVar[Group] = Group()
    """Users that were stopped and wait for their last answer."""

    late_dropped: ClassVar[int] = 0

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        self._asker = self.run_of.next_user()
        self._due_ns: int | None = None

    def on_start(self) -> None:
        """Obtain the token, again and again until there is one."""
        token = self.run_of.plan.token
        if token is not None:
            prepared = self.run_of.prepared[token.request.endpoint]
            while not self._asker.obtain_token(token, prepared):
                self._pause(TOKEN_RETRY_S)
        self._due_ns = time.monotonic_ns()
        if self.arrivals is not None:
            self.arrivals.users += 1

    def on_stop(self) -> None:
        """End the connections."""
        if self.arrivals is not None and self._due_ns is not None:
            self.arrivals.users -= 1
        self._asker.close()

    def stop(self, force: bool = False) -> bool:  # noqa: ARG002 - Locust's signature
        """End at once while waiting; else after the answer that is awaited, no longer counted as a user."""
        is_waiting = self._state in (None, LOCUST_STATE_WAITING)
        self._state = LOCUST_STATE_STOPPING  # a wait that ends before the kill arrives ends the user too
        if is_waiting:
            self._group.killone(self._greenlet)
            return True
        if self._greenlet in self._group:
            self._group.discard(self._greenlet)
            self.draining.add(self._greenlet)
        return False

    def one_round(self) -> None:
        """Ask once, by the plan's order."""
        due_ns = self._arrival() if self.arrivals is not None else self._due_ns
        if self.run_of.plan.order == "weighted":
            self._repeat(self.run_of.draw(), due_ns)
            return
        for prepared in self.run_of.requests:
            self._repeat(prepared, due_ns)
            due_ns = None
            if prepared is not self.run_of.requests[-1]:
                self._think()

    tasks = [one_round]  # noqa: RUF012 - Locust's own way to say it

    def wait_time(self) -> float:
        """How long until the next round, for Locust; sets when it is due."""
        now_ns = time.monotonic_ns()
        pacing_s = self.run_of.plan.pacing_s
        if self.arrivals is not None:
            return 0.0
        if pacing_s is None or self._due_ns is None:
            wait_s = self.run_of.think_s()
            self._due_ns = now_ns + round(wait_s * 1e9)
            return wait_s
        step_ns = round(pacing_s * 1e9)
        self._due_ns += step_ns
        while now_ns - self._due_ns > LONGEST_LATE_NS:
            self._due_ns += step_ns
            type(self).late_dropped += 1
        return max(0.0, (self._due_ns - now_ns) / 1e9)

    def _arrival(self) -> int:
        assert self.arrivals is not None
        self._idle()
        due_ns = self.arrivals.take()
        if self._state == LOCUST_STATE_STOPPING:
            self.arrivals.give_back(due_ns)
        self._busy()
        return due_ns

    def _repeat(self, prepared: Prepared, due_ns: int | None) -> None:
        """Send a request as often as it says, one after the other or all at once."""
        request = prepared.request
        if request.concurrent:
            self._together(prepared, due_ns)
            return
        for number in range(request.repeat):
            if number:
                self._think()
                due_ns = None
            self._asker.ask(prepared, due_ns)

    def _together(self, prepared: Prepared, due_ns: int | None) -> None:
        due_ns = time.monotonic_ns() if due_ns is None else due_ns
        group = Group()
        try:
            for _ in range(prepared.request.repeat):
                group.spawn(self._asker.ask, prepared, due_ns)
            group.join()
        finally:
            group.kill()

    def _think(self) -> None:
        self._pause(self.run_of.think_s())

    def _pause(self, seconds: float) -> None:
        self._idle()
        gevent.sleep(seconds)
        self._busy()

    def _idle(self) -> None:
        """From here on this user may be ended at once."""
        if self._state == LOCUST_STATE_STOPPING:
            raise StopUser
        self._state = LOCUST_STATE_WAITING

    def _busy(self) -> None:
        if self._state == LOCUST_STATE_STOPPING:
            raise StopUser
        self._state = LOCUST_STATE_RUNNING
