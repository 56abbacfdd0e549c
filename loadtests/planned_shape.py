"""How many users there are at each moment: the plan's stages, followed to the second."""

from __future__ import annotations

from typing import Any, ClassVar

import gevent
from locust import LoadTestShape
from locust.dispatch import UsersDispatcher

from warehouse.plan import Plan

TICK_S = 1.0
"""Locust asks a shape about once a second."""

STEP_S = 0.1
"""Users that start or stop within this time do so together."""


class PlannedShape(LoadTestShape):
    """Follows the stages. A tick that would come after a stage's end waits for that end instead."""

    abstract = True
    plan: ClassVar[Plan]
    _current = -1

    def tick(self) -> tuple[int, float] | None:
        """Users and spawn rate from now on; None at the end."""
        end_s = 0.0
        for number, (duration_s, users, spawn_rate) in enumerate(self.plan.stages):
            end_s += duration_s
            left_s = end_s - self.get_run_time()
            if left_s >= TICK_S or (left_s > 0 and number != self._current):
                self._current = number
                return users, spawn_rate
            if left_s > 0:
                gevent.sleep(left_s)
        return None


class SmoothDispatcher(UsersDispatcher):
    """Starts and stops users evenly; Locust's own does so once a second, all of a second together."""

    def new_dispatch(self, target_user_count: int, spawn_rate: float, user_classes: Any = None) -> None:
        """Begin a change of users."""
        super().new_dispatch(target_user_count, spawn_rate, user_classes)
        self._user_count_per_dispatch_iteration = max(1, int(spawn_rate * STEP_S))
        self._wait_between_dispatch = self._user_count_per_dispatch_iteration / spawn_rate
