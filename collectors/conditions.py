"""What may be wrong with the daemon itself: since when, why, and when it counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

from warehouse.model import now

AWAY_PATIENCE_S = 10.0
"""How long the spool may fail to ship before the daemon calls itself failing."""

HOLD_S = 60.0
"""How long a loss keeps the daemon failing."""

LONGEST_TEXT = 500


class Condition:
    """One thing that may be wrong. Struck from any thread, read by the daemon."""

    def __init__(
        self,
        *,
        patience_s: float = 0.0,
        hold_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """It counts `patience_s` after the first strike, until cleared, or `hold_s` after the last."""
        self._patience_s = patience_s
        self._hold_s = hold_s
        self._clock = clock
        self._lock = threading.Lock()
        self._struck_at: float | None = None
        self._first_at = 0.0
        self._since = ""
        self._reason = ""

    def strike(self, reason: str, for_s: float = 0.0) -> None:
        """It is wrong, and has been `for_s` already; `reason` holds no secret."""
        with self._lock:
            if self._held() is None:
                self._first_at = self._clock() - for_s
                self._since = f"{now() - timedelta(seconds=for_s):%Y-%m-%dT%H:%M:%SZ}"
            self._struck_at = self._clock()
            self._reason = reason[:LONGEST_TEXT]

    def clear(self) -> None:
        """It is right again."""
        with self._lock:
            self._struck_at = None

    @property
    def text(self) -> str:
        """What is wrong, why and since when; empty while it does not count."""
        with self._lock:
            if self._held() is None or self._clock() - self._first_at < self._patience_s:
                return ""
            return f"{self._reason} (since {self._since})"

    def _held(self) -> float | None:
        if self._struck_at is None:
            return None
        if self._hold_s is not None and self._clock() - self._struck_at >= self._hold_s:
            return None
        return self._struck_at


class Conditions:
    """All that can be wrong with the daemon, the worst first."""

    def __init__(self) -> None:
        self.unwritable = Condition()
        self.full = Condition(hold_s=HOLD_S)
        self.refused = Condition(hold_s=HOLD_S)
        self.away = Condition(patience_s=AWAY_PATIENCE_S)

    @property
    def text(self) -> str:
        """Everything that is wrong, in one line; empty when all is well."""
        texts = (self.unwritable.text, self.full.text, self.refused.text, self.away.text)
        return "; ".join(text for text in texts if text)
