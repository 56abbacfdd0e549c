"""What a load agent asks of the warehouse: its client's methods."""

from __future__ import annotations

from typing import Any, Protocol


class Door(Protocol):
    """The warehouse's client, as far as an agent uses it.

    Each method raises WarehouseAwayError (try again later), NotAllowedError or RefusedError.
    """

    def claim(self, agent: str, version: str, advertise: str, busy: list[str]) -> dict[str, Any]:
        """Take the next run request; hear what to cancel, and of seats at the runs of others."""
        ...

    def report_run(self, run_id: str, **report: Any) -> Any:
        """Say how a run does."""
        ...

    def send_rows(self, run_id: str, batch_id: str, worker: int, body: bytes) -> Any:
        """Store rows of the spool; sent again with the same id it changes nothing."""
        ...

    def send_events(self, run_id: str, batch_id: str, worker: int, body: bytes) -> Any:
        """Store lines of the spool; sent again with the same id it changes nothing."""
        ...

    def request_run(self, target: str, preset: str, scenario: str | None = None, **options: Any) -> Any:
        """Request a run."""
        ...
