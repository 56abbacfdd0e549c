"""Requests that were refused before anything looked at what they want: noted in the audit log, by the minute.

A flood of them must not fill the warehouse: of each kind (who, which action, why) there is at most one row a
minute, which tells how many there were, and of all kinds together MOST_KINDS.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

MINUTE_S = 60.0
MOST_KINDS = 20
"""Kinds told apart within a minute; the rest is one more."""

OTHERS = ("others", "", "")


@dataclass(frozen=True)
class Refused:
    """A row for the audit log."""

    who: str
    via: str
    action: str
    subject: str
    text: str


@dataclass
class _Kind:
    """What is known of one kind in its minute: its first request, and how many came after the last row."""

    first: Refused
    since: float
    untold: int = 0


class Refusals:
    """Counts refused requests: the first of a kind is told at once, the others together a minute later."""

    def __init__(self, tell: Callable[[Refused], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`tell` writes a row, and may be called from any thread."""
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str, str], _Kind] = {}

    def note(self, refused: Refused) -> None:
        """One more was refused."""
        self.flush()
        key = (refused.who, refused.action, refused.text)
        with self._lock:
            if key not in self._kinds and len(self._kinds) >= MOST_KINDS:
                key, refused = OTHERS, Refused("others", "", "", "", "refused; too many kinds to tell apart")
            kind = self._kinds.get(key)
            if kind is not None:
                kind.untold += 1
                return
            self._kinds[key] = _Kind(refused, self._clock())
        self._tell(refused)

    def flush(self, *, all_of_them: bool = False) -> None:
        """Tell of those that came after the last row of their kind, where that is a minute old."""
        with self._lock:
            due = [
                (key, kind)
                for key, kind in self._kinds.items()
                if all_of_them or self._clock() - kind.since >= MINUTE_S
            ]
            counted = [(kind.first, kind.untold) for _, kind in due if kind.untold]
            for key, kind in due:
                if kind.untold:
                    kind.untold, kind.since = 0, self._clock()
                else:
                    del self._kinds[key]
        for first, more in counted:
            told = f"{first.text} ({more} more times)"
            self._tell(Refused(first.who, first.via, first.action, "", told))
