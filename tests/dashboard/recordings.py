"""Measurements as the collectors would have sent them, for the dashboard to show."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count

from tests.servers.warehouse import WarehouseProcess
from tests.warehouse.records import attempt
from warehouse.client import pack
from warehouse.model import Attempt, Batch, Event, Gap, GapReason, JobState, Outcome, Sample, now

ENDPOINTS = {"GET /health": 4.0, "GET /api/v1/invoices/": 40.0, "POST /api/v1/invoices/": 120.0}
"""Endpoints of the target `shop` and their median latency in ms."""

SLOW = "GET /slow"
HOST = "box"
_numbers = count()


def send(
    warehouse: WarehouseProcess,
    *,
    attempts: Sequence[Attempt] = (),
    samples: Sequence[Sample] = (),
    gaps: Sequence[Gap] = (),
    events: Sequence[Event] = (),
) -> None:
    """Store the records, as the collector `local`."""
    batch_id = f"recording-{next(_numbers)}"
    batch = Batch(
        batch_id=batch_id,
        attempts=tuple(attempts),
        samples=tuple(samples),
        gaps=tuple(gaps),
        events=tuple(events),
    )
    with warehouse.client("collect") as client:
        client.send(batch_id, pack(batch))


def probes(minutes: float, every_s: float = 5.0, end: datetime | None = None, seed: int = 7) -> list[Attempt]:
    """Attempts at every endpoint for so long, some failed, some timed out."""
    chance = random.Random(seed)
    last = end or now()
    made = []
    for back in range(int(minutes * 60 / every_s)):
        at = last - timedelta(seconds=back * every_s + 1)
        for endpoint, median in ENDPOINTS.items():
            ms = median * chance.lognormvariate(0, 0.3)
            made.append(_one(at, endpoint, ms, chance.random()))
    return made


def _one(at: datetime, endpoint: str, ms: float, luck: float) -> Attempt:
    common = {"endpoint": endpoint, "deadline_us": 3_000_000, "loop_lag_us": 300}
    if luck < 0.004:
        return attempt(at, ms=None, connect_us=250, **common)
    if luck < 0.01:
        return attempt(at, ms=None, **{**common, "outcome": Outcome.REFUSED})
    if luck < 0.015:
        return attempt(at, ms=ms, **{**common, "outcome": Outcome.BAD_STATUS}, status=500)
    total = round(ms * 1000)
    return attempt(
        at,
        ms=ms,
        **common,
        status=200,
        connect_us=min(250, total // 4),
        first_byte_us=total // 2,
        bytes=900,
    )


def slow_probes(truth_ms: Sequence[float], end: datetime | None = None) -> list[Attempt]:
    """One attempt a second at the slow endpoint, of the given durations, the last one just now."""
    last = end or now()
    return [
        attempt(
            last - timedelta(seconds=back + 1),
            ms=ms,
            endpoint=SLOW,
            status=200,
            first_byte_us=round(ms * 900),
        )
        for back, ms in enumerate(truth_ms)
    ]


def nearest_rank(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    ordered = sorted(values)
    at = next(rank for rank in range(1, len(ordered) + 1) if rank >= share * len(ordered) - 1e-9)
    return ordered[at - 1]


def host(
    minutes: float, every_s: float = 15.0, end: datetime | None = None, *, cpu: float = 0.4
) -> list[Sample]:
    """Resources of one host: `cpu` is the mean share; swap cannot be measured there."""
    last = end or now()
    chance = random.Random(3)
    made: list[Sample] = []
    for back in range(max(1, int(minutes * 60 / every_s))):
        at = last - timedelta(seconds=back * every_s + 1)
        wave = min(1.0, max(0.0, cpu + chance.uniform(-0.08, 0.08)))
        made += _host_at(at, wave)
    return made


def _host_at(at: datetime, cpu: float) -> list[Sample]:
    plain = {
        ("", "cpu_ratio", "ratio"): cpu,
        ("", "cpu_user_ratio", "ratio"): cpu * 0.7,
        ("", "cpu_system_ratio", "ratio"): cpu * 0.25,
        ("", "cpu_iowait_ratio", "ratio"): cpu * 0.05,
        ("", "memory_used_ratio", "ratio"): 0.83,
        ("", "memory_used_bytes", "bytes"): 6.6e9,
        ("", "memory_total_bytes", "bytes"): 8e9,
        ("", "load1", "1"): cpu * 4,
        ("", "load5", "1"): cpu * 3,
        ("", "load15", "1"): cpu * 2,
        ("", "cores", "1"): 4,
        ("/", "disk_used_ratio", "ratio"): 0.62,
        ("/", "disk_free_bytes", "bytes"): 9.1e10,
        ("vda", "disk_busy_ratio", "ratio"): cpu / 3,
        ("vda", "disk_read_bytes_per_s", "bytes/s"): 1.2e6,
        ("vda", "disk_write_bytes_per_s", "bytes/s"): 3.4e6,
        ("eth0", "net_received_bytes_per_s", "bytes/s"): 2.2e5,
        ("eth0", "net_sent_bytes_per_s", "bytes/s"): 8.1e4,
        ("eth0", "net_errors_total", "1"): 0,
        ("postgres", "process_cpu_ratio", "ratio"): cpu / 2,
        ("postgres", "process_memory_bytes", "bytes"): 2.1e8,
        ("postgres", "process_count", "1"): 7,
        ("python3", "process_cpu_ratio", "ratio"): cpu / 3,
        ("python3", "process_memory_bytes", "bytes"): 4.4e8,
        ("python3", "process_count", "1"): 4,
    }
    made = [_host_sample(at, thing, metric, unit, value) for (thing, metric, unit), value in plain.items()]
    for metric, unit in (("swap_used_ratio", "ratio"), ("swap_used_bytes", "bytes")):
        made.append(_host_sample(at, "", metric, unit, None))
    return made


def _host_sample(at: datetime, thing: str, metric: str, unit: str, value: float | None) -> Sample:
    outcome = Outcome.OK if value is not None else Outcome.NOT_MEASURABLE
    return Sample(
        at=at, kind="host", target=HOST, object=thing, metric=metric, unit=unit, value=value, outcome=outcome
    )


def health(
    minutes: float, every_s: float = 15.0, end: datetime | None = None, jobs: Sequence[str] | None = None
) -> list[Sample]:
    """What the daemon tells of itself and of its jobs, the last report just now."""
    named = jobs or [*(f"probe shop {endpoint}" for endpoint in ENDPOINTS), f"host {HOST}"]
    last = end or now()
    made: list[Sample] = []
    for back in range(max(1, int(minutes * 60 / every_s))):
        at = last - timedelta(seconds=back * every_s + 1)
        for job in named:
            numbers = {
                ("interval_s", "s"): 5.0,
                ("runs_total", "1"): 3.0,
                ("errors_total", "1"): 0.0,
                ("missed_total", "1"): 0.0,
                ("lag_max_ms", "ms"): 4.2,
                ("run_max_ms", "ms"): 130.0,
                ("last_success_age_s", "s"): 2.0,
            }
            made += _own(at, job, numbers)
        daemon = {
            ("cpu_ratio", "ratio"): 0.03,
            ("memory_bytes", "bytes"): 9.5e7,
            ("spool_batches", "1"): 0.0,
            ("spool_bytes", "bytes"): 0.0,
            ("spool_dropped_total", "1"): 0.0,
            ("spool_refused_total", "1"): 0.0,
            ("loop_lag_max_ms", "ms"): 3.1,
            ("in_flight_max", "1"): 2.0,
        }
        made += _own(at, "daemon", daemon)
    return made


def _own(at: datetime, job: str, numbers: dict[tuple[str, str], float]) -> list[Sample]:
    return [
        Sample(at=at, kind="collector", target="local", object=job, metric=metric, unit=unit, value=value)
        for (metric, unit), value in numbers.items()
    ]


def failing(job: str, text: str, minutes_ago: float = 3) -> Event:
    """The job says that it began to fail."""
    at = now() - timedelta(minutes=minutes_ago)
    return Event(at=at, job=job, state=JobState.FAILING, text=text)


def recovered(job: str, minutes_ago: float = 1) -> Event:
    """The job says that it is well again."""
    return Event(at=now() - timedelta(minutes=minutes_ago), job=job, state=JobState.OK, text="")


def missed(job: str, minutes_ago: float = 6, minutes: float = 2) -> Gap:
    """Samples that were due and were not taken."""
    at = now() - timedelta(minutes=minutes_ago)
    return Gap(at=at, until=at + timedelta(minutes=minutes), job=job, reason=GapReason.MISSED, missed=24)


def full(warehouse: WarehouseProcess, minutes: float = 50) -> None:
    """Everything a healthy installation sends, with one failing job and one gap."""
    job = "probe shop POST /api/v1/invoices/"
    send(
        warehouse,
        attempts=probes(minutes),
        samples=[*host(minutes), *health(minutes)],
        gaps=[missed(job)],
        events=[failing(job, "expected status 201, answered 500")],
    )
