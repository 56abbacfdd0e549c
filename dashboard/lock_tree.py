"""Who waits for whom, as trees: sessions that block without waiting themselves are their roots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]


@dataclass
class Session:
    """A session, what it waits for (None: it only blocks), and the sessions that wait for it."""

    pid: int
    database: str
    user: str = ""
    application: str = ""
    state: str = ""
    transaction_ms: float | None = None
    query: str = ""
    waited_ms: float | None = None
    lock: str = ""
    waiters: list[Session] = field(default_factory=list)

    @property
    def blocked(self) -> int:
        """How many sessions wait for this one, directly or not."""
        return sum(1 + waiter.blocked for waiter in self.waiters)


def trees(waits: Sequence[Row]) -> list[Session]:
    """The root blockers of the waits of one instant, those that hold up most first.

    A session that waits for several hangs below the one told first. A circle (a deadlock on its way to
    being ended by the server) has no root, so the session told first in it becomes one.
    """
    sessions: dict[tuple[str, int], Session] = {}
    above: dict[tuple[str, int], tuple[str, int]] = {}
    for row in waits:
        waiter, blocker = _waiter(sessions, row), _blocker(sessions, row)
        if waiter not in above and waiter != blocker and not _leads_to(above, blocker, waiter):
            above[waiter] = blocker
    for waiter, blocker in above.items():
        sessions[blocker].waiters.append(sessions[waiter])
    for session in sessions.values():
        session.waiters.sort(key=lambda waiter: (-(waiter.waited_ms or 0.0), waiter.pid))
    roots = [session for key, session in sessions.items() if key not in above]
    return sorted(roots, key=lambda root: (-root.blocked, root.pid))


def _leads_to(above: Mapping[tuple[str, int], tuple[str, int]], start: tuple[str, int], end: object) -> bool:
    """Whether going up from `start` reaches `end`: hanging `end` below `start` would close a circle."""
    at: tuple[str, int] | None = start
    while at is not None:
        if at == end:
            return True
        at = above.get(at)
    return False


def _waiter(sessions: dict[tuple[str, int], Session], row: Row) -> tuple[str, int]:
    key = (str(row["database"]), int(row["waiter_pid"]))
    session = sessions.setdefault(key, Session(key[1], key[0]))
    session.user, session.application = row["waiter_user"], row["waiter_application"]
    session.query = row.get("waiter_query") or session.query
    session.waited_ms = row["waited_ms"]
    session.lock = lock_words(row)
    return key


def _blocker(sessions: dict[tuple[str, int], Session], row: Row) -> tuple[str, int]:
    key = (str(row["database"]), int(row["blocker_pid"]))
    session = sessions.setdefault(key, Session(key[1], key[0]))
    session.user = session.user or row["blocker_user"]
    session.application = session.application or row["blocker_application"]
    session.state = row["blocker_state"]
    session.transaction_ms = row["blocker_transaction_ms"]
    session.query = session.query or row.get("blocker_query") or ""
    return key


def lock_words(row: Row) -> str:
    """`ShareLock (transactionid) on invoice`; what is not known is left out."""
    kind = f" ({row['lock']})" if row["lock"] else ""
    on = f" on {row['relation']}" if row["relation"] else ""
    return f"{row['mode']}{kind}{on}".strip()
