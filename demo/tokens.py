"""Bearer tokens for development: random, kept in memory, gone with the process."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict

LIFETIME_S = 3600
CAPACITY = 10_000


class DevTokens:
    """The tokens that were given out, the newest 10,000."""

    def __init__(self) -> None:
        self._ends: OrderedDict[str, float] = OrderedDict()

    def issue(self) -> str:
        """A new token, good for an hour."""
        token = secrets.token_urlsafe(32)
        self._ends[token] = time.monotonic() + LIFETIME_S
        if len(self._ends) > CAPACITY:
            self._ends.popitem(last=False)
        return token

    def is_good(self, token: str) -> bool:
        """Whether the token was given out here and has not ended."""
        return self._ends.get(token, 0.0) > time.monotonic()
