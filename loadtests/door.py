"""What a load agent asks of the warehouse: its client's methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol

Via = Literal["dashboard", "cli", "schedule", "ci"]


class Door(Protocol):
    """The warehouse's client, as far as an agent uses it.

    Each method raises WarehouseAwayError (try again later), NotAllowedError or RefusedError.
    """

    def claim(
        self, agent: str, *, version: str = "", advertise: str = "", busy: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Take the next run request; hear what to cancel, and of seats at the runs of others."""
        ...

    def report_run(self, run_id: str, *, agent: str, state: str, **told: Any) -> Any:
        """Say how a run does."""
        ...

    def stored_spool(self, run_id: str) -> dict[str, Any]:
        """Of each file of a run's spool the last piece that is stored: its `offset` and `rows`."""
        ...

    def send_rows(self, run_id: str, worker: int, file: str, offset: int, body: bytes) -> Any:
        """Store a piece of a spool's rows; the same piece again changes nothing."""
        ...

    def send_events(self, run_id: str, worker: int, file: str, offset: int, body: bytes) -> Any:
        """Store a piece of a spool's lines; the same piece again changes nothing."""
        ...

    def tell_missed(self, schedule: str, target: str, preset: str, *, due_at_us: int, why: str) -> Any:
        """Have it noted that a scheduled run was missed; told again it changes nothing."""
        ...

    def request_run(self, target: str, preset: str, scenario: str | None = None, *, via: Via) -> Any:
        """Request a run."""
        ...
