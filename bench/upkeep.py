"""What sealing cells costs beside 5,000 attempts a second, over a midnight."""

from __future__ import annotations

import time
from datetime import timedelta

from bench.filling import ENDPOINTS, add_attempts, add_series
from bench.report import Section
from bench.service import scratch, write_config
from warehouse import rollups
from warehouse.cells import DAY, FIVE_MINUTES, HOUR, TABLES
from warehouse.model import now
from warehouse.rollups import Alone
from warehouse.store import Store

ROWS_PER_S = 5_000
BEFORE, AFTER = timedelta(hours=1, minutes=15), timedelta(minutes=45)
STEP = timedelta(seconds=FIVE_MINUTES)


def measure() -> Section:
    """Attempts of five minutes come, then what is old enough is sealed: only this is timed."""
    cpu, steps = [], 0
    with scratch() as folder:
        store = Store(write_config(folder))
        connection = store.cursor()
        midnight = now().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        at = midnight - BEFORE
        add_series(connection, at)
        while at < midnight + AFTER:
            at += STEP
            add_attempts(connection, at, ROWS_PER_S * FIVE_MINUTES, FIVE_MINUTES)
            began = time.process_time()
            rollups.keep_up(Alone(connection), at)
            cpu.append(time.process_time() - began)
            steps += 1
        sealed = {
            width: connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            for width, table in TABLES.items()
        }
        connection.close()
        store.close()
    length_s = steps * FIVE_MINUTES
    share, worst = sum(cpu) / length_s, max(cpu) / FIVE_MINUTES
    return Section(
        "Upkeep of the tiers",
        f"""{ROWS_PER_S:,} attempts a second of {ENDPOINTS} endpoints for {length_s / 3600:g} h, over a
midnight; every five minutes what is old enough is sealed, and nothing else is timed. CPU is user and system
time of all threads, as a share of one core over the time that the attempts span. Sealed in the end:
{sealed[FIVE_MINUTES]:,} cells of 5 minutes, {sealed[HOUR]:,} of hours, {sealed[DAY]:,} of days.""",
        ("attempts", "CPU, of one core", "the costliest five minutes", "target"),
        [(f"{steps * ROWS_PER_S * FIVE_MINUTES:,}", f"{share:.2%}", f"{worst:.2%}", "at most 10 %")],
    )
