"""The open warehouse: store, writer, reader and tokens, and the work it does by itself."""

from __future__ import annotations

from pathlib import Path

from apscheduler.schedulers.background import BackgroundScheduler

from warehouse import retention, tokens
from warehouse.exchange import exchange
from warehouse.exports import Exports
from warehouse.keeper import Keeper
from warehouse.model import now
from warehouse.reader import Reader
from warehouse.settings import Settings
from warehouse.store import Store
from warehouse.tokens import Keyring, Scope
from warehouse.writer import Writer

RETENTION_EVERY_S = 3600


class Warehouse:
    """The open store with its writer, reader and tokens: what the API stands on."""

    def __init__(self, settings: Settings) -> None:
        """Open everything. Raises the errors of Store."""
        self.settings = settings
        self.started_at = now()
        self.store = Store(settings)
        _ensure_local_tokens(settings)
        self.keyring = Keyring(settings.token_dir)
        self.keeper = Keeper(self.store)
        self.writer = Writer(self.keeper)
        self.reader = Reader(
            self.store, deadline_s=settings.warehouse.deadline_s, row_cap=settings.warehouse.row_cap
        )
        self.exports = Exports()
        self._schedule = BackgroundScheduler(timezone="UTC")
        self._schedule.add_job(
            self.expire,
            "interval",
            seconds=RETENTION_EVERY_S,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=now(),
        )

    def start(self) -> None:
        """Begin the work the warehouse does by itself."""
        self._schedule.start()

    def expire(self) -> dict[str, int]:
        """Delete what is older than the configuration keeps; rows deleted per table."""
        days = self.settings.retention.raw_days
        return self.writer.submit(
            lambda connection: retention.expire(connection, now().replace(tzinfo=None), days)
        ).result()

    def exchange(self, *, replace: bool) -> Path | None:
        """Make the restored file the warehouse's; where the file it replaces is kept. See `exchange`."""
        return self.writer.apart(lambda: exchange(self.store, self.keeper, replace=replace)).result()

    def close(self) -> None:
        """Store what waits, then close the file."""
        if self._schedule.running:
            self._schedule.shutdown(wait=False)
        self.writer.close()
        self.store.close()


def _ensure_local_tokens(settings: Settings) -> None:
    tokens.ensure_local(settings.token_dir, "collect", [Scope.INGEST], [settings.collectors.name])
    tokens.ensure_local(settings.token_dir, "dashboard", [Scope.READ, Scope.ACT])
    tokens.ensure_local(settings.token_dir, "cli", [Scope.READ, Scope.ACT])
