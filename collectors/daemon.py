"""The collectors' process: runs the jobs, spools and ships what they measured, and watches itself."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence

from collectors.conditions import Conditions
from collectors.health import Health
from collectors.heartbeat import Heartbeat
from collectors.jobs import open_jobs
from collectors.places import Flight
from collectors.record import DAEMON, Recorder, Row, lost_gap
from collectors.schedule import Job, Schedule
from collectors.shipper import Flusher, Sender, Shipper
from collectors.spool import Entry, Spool
from collectors.turns import ask_for_short_turns
from warehouse import logs
from warehouse.client import Client
from warehouse.model import GapReason, now
from warehouse.settings import Settings

log = logging.getLogger(__name__)

SWITCH_S = 0.0005
"""How long another thread may keep the interpreter from the loop; Python's own is 5 ms."""

RUNS_END_S = 0.7
FLUSH_ENDS_S = 0.7
SHIPPING_ENDS_S = 0.4
"""How long a stop waits for what runs, for the last flush and for its batch to be shipped."""


def run(settings: Settings) -> None:
    """Collect until told to stop (SIGTERM or SIGINT).

    Raises AlreadyRunningError, SpoolError, or ConfigurationError when the remote warehouse's token is
    not there.
    """
    logs.set_up()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # What it warns of is recorded as gaps; the text of a job's error may quote a secret.
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    os.umask(0o077)
    ask_for_short_turns(os.nice(0))
    sys.setswitchinterval(SWITCH_S)
    if settings.collectors.token is not None:
        settings.collectors.token.reveal()
    daemon = Daemon(settings)
    client = Client.for_process(settings, "collect", retries=0)
    try:
        asyncio.run(_serve(daemon, settings, client))
    finally:
        daemon.close()
        client.close()
    log.info("stopped")


async def _serve(daemon: Daemon, settings: Settings, client: Client) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_jobs(settings, daemon.flight) as jobs:
        log.info("%d jobs for %s (pid %d)", len(jobs), client.url, os.getpid())
        await daemon.serve(jobs, client, stop)


class Daemon:
    """One spool with the threads and the schedule around it. Serves once."""

    def __init__(self, settings: Settings) -> None:
        """Lock and open the spool. Raises AlreadyRunningError or SpoolError."""
        self._settings = settings.collectors
        self.flight = Flight(self._settings.max_in_flight)
        self._conditions = Conditions()
        self._recorder = Recorder(self._settings.name)
        self._spool = Spool(settings.spool_dir, self._settings.spool_mb * 1_000_000, self._on_drop)

    async def serve(self, jobs: Sequence[Job], sender: Sender, stop: asyncio.Event) -> None:
        """Run the jobs until `stop` is set; at the end all that was measured is shipped or spooled."""
        own = Job(DAEMON, self._settings.health_interval_s, self._report)
        intervals = {job.name: job.interval_s for job in (*jobs, own)}
        heartbeat = Heartbeat(self._spool.directory / "heartbeat.json", intervals)
        self._recorder.add(heartbeat.gaps(now()))
        self._health = Health(
            self._settings.name, intervals, self._recorder.add, lambda: self._conditions.text
        )
        self._schedule = Schedule(
            [*jobs, own],
            self._recorder.add,
            self._health,
            on_tick=self._health.judge_daemon,
            on_step=self._health.forget_failures,
        )
        flusher = Flusher(
            self._recorder, self._spool, self._conditions, self._settings.flush_s, heartbeat.beat
        )
        shipper = Shipper(self._recorder, self._spool, sender, self._conditions)
        flusher.start()
        shipper.start()
        self._schedule.start()
        try:
            await stop.wait()
        finally:
            await self._schedule.stop(RUNS_END_S)
            await asyncio.to_thread(self._finish, flusher, shipper)

    def close(self) -> None:
        """Let the next daemon in."""
        self._spool.close()

    def _finish(self, flusher: Flusher, shipper: Shipper) -> None:
        flusher.stop(FLUSH_ENDS_S)
        until = time.monotonic() + SHIPPING_ENDS_S
        self._spool.wait_empty(SHIPPING_ENDS_S)
        if not shipper.stop(until - time.monotonic() + 0.1):
            log.info("a batch was on its way; it will be sent again under the same id")
        log.info("%d batches wait in the spool", self._spool.batches)

    async def _report(self) -> Sequence[Row]:
        loop_lag_s = self._schedule.take_loop_lag()
        return self._health.report(
            {
                "spool_batches": ("1", self._spool.batches),
                "spool_bytes": ("bytes", self._spool.disk_bytes),
                "spool_dropped_total": ("1", self._spool.dropped_rows + self._recorder.dropped),
                "spool_refused_total": ("1", self._spool.refused_rows),
                "loop_lag_max_ms": ("ms", loop_lag_s * 1000),
                "in_flight_max": ("1", self.flight.take_most()),
            }
        )

    def _on_drop(self, entries: Sequence[Entry], why: str) -> None:
        rows = sum(entry.rows for entry in entries)
        self._conditions.full.strike(f"{why}: {rows} rows were dropped")
        missed = sum(entry.missed for entry in entries)
        if missed:
            first, last = min(entry.first for entry in entries), max(entry.last for entry in entries)
            self._recorder.add([lost_gap(first, last, missed, GapReason.SPOOL_FULL)])
