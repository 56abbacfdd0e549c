"""How each part of the watch does: told at every change, and once a minute in between."""

from __future__ import annotations

import time
from datetime import datetime

from warehouse.model import DatabaseCondition, DatabaseState, Engine

REPEAT_S = 60.0
CONNECTION = "connection"
"""The part without which there are no others."""


class Parts:
    """The newest word on each part of one database's watch."""

    def __init__(self, target: str, engine: Engine) -> None:
        """`engine` may be corrected once it is known better (a MySQL that is a MariaDB)."""
        self._target = target
        self.engine = engine
        self._said: dict[str, tuple[DatabaseCondition, str]] = {}
        self._told: dict[str, tuple[tuple[DatabaseCondition, str], float]] = {}

    def say(self, part: str, state: DatabaseCondition, text: str = "") -> None:
        """How a part does now."""
        self._said[part] = (state, text)

    def rows(self, at: datetime) -> list[DatabaseState]:
        """What is new, or was told more than a minute ago; without a connection only that."""
        present = time.monotonic()
        connection = self._said.get(CONNECTION)
        if connection is not None and connection[0] is not DatabaseCondition.OK:
            self._said = {CONNECTION: connection}
            self._told = {part: told for part, told in self._told.items() if part == CONNECTION}
        due = {
            part: said
            for part, said in list(self._said.items())
            if (told := self._told.get(part)) is None or told[0] != said or present - told[1] >= REPEAT_S
        }
        self._told.update((part, (said, present)) for part, said in due.items())
        return [
            DatabaseState(
                at=at, target=self._target, engine=self.engine, part=part, state=state, text=text[:2000]
            )
            for part, (state, text) in due.items()
        ]
