"""What a warehouse may hold when the dashboard asks: nothing, one sample, plenty, trouble, malice."""

from datetime import datetime, timedelta
from math import sin
from uuid import uuid4

from tests.warehouse.records import attempt, sample
from warehouse.client import Client, pack
from warehouse.model import (
    RECORDS,
    Attempt,
    Batch,
    Event,
    Gap,
    GapReason,
    JobState,
    Outcome,
    Record,
    Sample,
    now,
)

SLOW = "GET /slow"
HOSTILE = (
    "![x](http://192.0.2.1/a.png) [click](http://192.0.2.1/) <b>bold</b> `code` "
    ":red[red] :material/home: $x^2$ %{y}"
)
HOST = "box"


def send(client: Client, *rows: Record) -> None:
    """Store the rows as one batch."""
    kinds = {kind: tuple(row for row in rows if isinstance(row, record)) for kind, record in RECORDS.items()}
    batch = Batch.model_validate({"batch_id": f"test-{uuid4()}", **kinds})
    client.send(batch.batch_id, pack(batch))


def one_sample(client: Client) -> None:
    """A single attempt, just now."""
    send(client, attempt(ms=12.5))


def slow_latency_ms(step: int) -> float:
    """Latency of the slow endpoint's n-th attempt: known, so that its percentiles can be computed apart."""
    return 200.0 + (step * 37 % 101) * 3.0


def plenty(client: Client, *, minutes: int = 90, until: datetime | None = None) -> None:
    """An API with five endpoints, errors and timeouts, a host and a healthy daemon; 6 minutes are missing."""
    end = until or now()
    steps = minutes * 6
    rows: list[Attempt | Sample | Gap | Event] = []
    gap = range(steps // 2, steps // 2 + 36)
    for step in range(steps):
        at = end - timedelta(seconds=10 * (steps - step))
        if step in gap:
            continue
        rows += _attempts(at, step)
        if step % 2 == 0:
            rows += _host(at, step)
    first = end - timedelta(seconds=10 * (steps - gap.start))
    rows.append(
        Gap(
            at=first,
            until=first + timedelta(minutes=6),
            job=f"probe shop {SLOW}",
            reason=GapReason.DOWN,
            missed=36,
        )
    )
    rows.append(Event(at=first + timedelta(minutes=6), job=f"probe shop {SLOW}", state=JobState.OK, text=""))
    rows += _health(end, minutes)
    for begin in range(0, len(rows), 5000):
        send(client, *rows[begin : begin + 5000])


def _attempts(at: datetime, step: int) -> list[Attempt]:
    timed = {"connect_us": 400, "first_byte_us": 3_000, "dns_us": 250}
    made = [
        attempt(at, endpoint=SLOW, ms=slow_latency_ms(step), **timed),
        attempt(at, endpoint="GET /health", ms=4 + sin(step / 20) + step % 7 / 5, **timed),
        attempt(at, endpoint="GET /invoices", ms=40 + 10 * sin(step / 40) + step % 13, **timed),
        attempt(at, endpoint="POST /invoices", ms=70 + 20 * sin(step / 30) + step % 17, **timed),
    ]
    if step % 23 == 0:
        made.append(attempt(at, endpoint="GET /flaky", ms=None, outcome=Outcome.TIMEOUT))
    elif step % 11 == 0:
        made.append(attempt(at, endpoint="GET /flaky", ms=30, outcome=Outcome.BAD_STATUS, status=503))
    else:
        made.append(attempt(at, endpoint="GET /flaky", ms=25 + step % 29, status=200, **timed))
    return made


def _host(at: datetime, step: int) -> list[Sample]:
    cpu = 0.45 + 0.3 * sin(step / 50) + (0.2 if step % 60 == 0 else 0)
    known = {
        "cpu_ratio": (cpu, "ratio"),
        "cpu_user_ratio": (cpu * 0.7, "ratio"),
        "cpu_system_ratio": (cpu * 0.2, "ratio"),
        "memory_used_ratio": (0.82, "ratio"),
        "swap_used_ratio": (0.01, "ratio"),
        "memory_used_bytes": (6.5e9, "bytes"),
        "memory_total_bytes": (8e9, "bytes"),
        "load1": (1.5 + sin(step / 30), "1"),
        "load5": (1.4, "1"),
        "load15": (1.2, "1"),
        "cores": (4, "1"),
    }
    rows = [sample(at, value, target=HOST, metric=name, unit=unit) for name, (value, unit) in known.items()]
    for thing, metric, value, unit in (
        ("/", "disk_used_ratio", 0.61, "ratio"),
        ("/data", "disk_used_ratio", 0.35, "ratio"),
        ("sda", "disk_read_bytes_per_s", 2e6, "bytes/s"),
        ("sda", "disk_write_bytes_per_s", 5e6 + 1e6 * sin(step / 15), "bytes/s"),
        ("eth0", "net_received_bytes_per_s", 3e5 + 1e5 * sin(step / 25), "bytes/s"),
        ("eth0", "net_sent_bytes_per_s", 1e5, "bytes/s"),
        ("postgres", "process_cpu_ratio", 0.4, "ratio"),
        ("postgres", "process_memory_bytes", 5e8, "bytes"),
        ("postgres", "process_count", 6, "1"),
        ("python", "process_cpu_ratio", 0.9, "ratio"),
        ("python", "process_memory_bytes", 2e8, "bytes"),
        ("python", "process_count", 3, "1"),
    ):
        rows.append(sample(at, value, target=HOST, object=thing, metric=metric, unit=unit))
    rows.append(
        sample(
            at,
            None,
            target=HOST,
            object="sda",
            metric="disk_busy_ratio",
            unit="ratio",
            outcome=Outcome.NOT_MEASURABLE,
        )
    )
    return rows


def jobs() -> list[str]:
    """The jobs of the collector in `plenty`."""
    endpoints = (SLOW, "GET /health", "GET /invoices", "POST /invoices", "GET /flaky")
    return [*(f"probe shop {endpoint}" for endpoint in endpoints), f"host {HOST}", "daemon"]


def _health(end: datetime, minutes: int) -> list[Sample]:
    rows = []
    for quarter in range(minutes * 4):
        at = end - timedelta(seconds=15 * (minutes * 4 - quarter))
        last = quarter == minutes * 4 - 1
        for job in jobs():
            if job != "daemon":
                rows += _job(at, job, last_success_age_s=4.0) if last or quarter % 20 == 0 else []
        for metric, value, unit in (
            ("cpu_ratio", 0.04 + 0.01 * sin(quarter / 9), "ratio"),
            ("memory_bytes", 7e7, "bytes"),
            ("spool_batches", 1, "1"),
            ("spool_bytes", 20_000, "bytes"),
            ("spool_dropped_total", 0, "1"),
            ("loop_lag_max_ms", 2 + quarter % 5, "ms"),
        ):
            rows.append(_own(at, "daemon", metric, value, unit))
    rows.append(_own(end, "daemon", "last_success_age_s", 1.0, "s"))
    rows.append(_own(end, "daemon", "interval_s", 15.0, "s"))
    return rows


def _job(at: datetime, job: str, last_success_age_s: float) -> list[Sample]:
    return [
        _own(at, job, "interval_s", 10.0, "s"),
        _own(at, job, "runs_total", 60.0, "1"),
        _own(at, job, "errors_total", 0.0, "1"),
        _own(at, job, "missed_total", 0.0, "1"),
        _own(at, job, "lag_max_ms", 3.5, "ms"),
        _own(at, job, "run_max_ms", 480.0, "ms"),
        _own(at, job, "last_success_age_s", last_success_age_s, "s"),
    ]


def _own(at: datetime, job: str, metric: str, value: float, unit: str) -> Sample:
    return sample(at, float(value), kind="collector", target="local", object=job, metric=metric, unit=unit)


def failing(client: Client) -> None:
    """One job that fails and says why, one that fell silent, an endpoint that answers 503."""
    present = now()
    job = "probe shop GET /broken"
    send(
        client,
        attempt(
            present - timedelta(seconds=5),
            endpoint="GET /broken",
            ms=9,
            outcome=Outcome.BAD_STATUS,
            status=503,
        ),
        attempt(present - timedelta(seconds=4), endpoint="GET /other", ms=9, outcome=Outcome.REFUSED),
        *_job(present - timedelta(seconds=3), job, last_success_age_s=300.0),
        *_job(present - timedelta(minutes=10), "host gone", last_success_age_s=1.0),
        Event(
            at=present - timedelta(minutes=5), job=job, state=JobState.FAILING, text="expected 200, got 503"
        ),
    )


def behind(client: Client) -> None:
    """A collector that sends what it measured ten minutes ago."""
    long_ago = now() - timedelta(minutes=10)
    send(
        client,
        attempt(long_ago, endpoint="GET /", ms=5.0),
        *_job(long_ago, "probe shop GET /", last_success_age_s=1.0),
        *_job(long_ago, "daemon", last_success_age_s=1.0),
    )


def states(client: Client, present: datetime) -> None:
    """One endpoint that is down, one flaky, one removed, one well; a host with a CPU at its limit."""
    rows: list[Attempt | Sample | Gap | Event] = []
    for step in range(8):
        at = present - timedelta(seconds=75 - 10 * step)
        down = Outcome.REFUSED if step >= 4 else Outcome.OK
        rows.append(attempt(at, endpoint="GET /down", ms=None if step >= 4 else 5.0, outcome=down))
        rows.append(attempt(at, endpoint="GET /shaky", ms=5.0 if step % 2 else None))
        rows.append(attempt(at, endpoint="GET /well", ms=5.0))
        rows.append(attempt(at - timedelta(minutes=5), endpoint="GET /removed", ms=5.0))
        rows.append(sample(at, 0.97 if step else 0.96, target=HOST, metric="cpu_ratio", unit="ratio"))
        rows.append(
            sample(at, 1.0 if step == 7 else 0.5, target=HOST, metric="memory_used_ratio", unit="ratio")
        )
    send(client, *rows)


def hosts(client: Client, present: datetime) -> None:
    """A host that was left long ago, and one without swap that is sampled now; a minute of each missed."""
    rows: list[Attempt | Sample | Gap | Event] = []
    for name, age in (("aaa", timedelta(minutes=30)), ("zzz", timedelta())):
        for step in range(60):
            at = present - age - timedelta(seconds=5 * step)
            rows.append(sample(at, 0.5, target=name))
            rows.append(sample(at, 0.0, target=name, metric="swap_used_bytes", unit="bytes"))
            rows.append(
                sample(at, None, target=name, metric="swap_used_ratio", outcome=Outcome.NOT_MEASURABLE)
            )
    for job, minutes in (("host aaa", 8), ("host zzz", 6), ("probe shop GET /", 4), ("probe shop GET /b", 2)):
        begin, reason = present - timedelta(minutes=minutes), GapReason.OVERLAP
        rows.append(Gap(at=begin, until=begin + timedelta(minutes=1), job=job, reason=reason, missed=3))
    for endpoint in ("GET /", "GET /b"):
        rows += [attempt(present - timedelta(seconds=9 * step), endpoint=endpoint) for step in range(1, 9)]
    send(client, *rows)


def hostile(client: Client) -> None:
    """Names and texts that would be markup if they were let."""
    present = now()
    job = f"probe shop {HOSTILE}"
    for second in range(30):
        at = present - timedelta(seconds=5 + second * 10)
        broken = {"outcome": Outcome.ASSERTION} if second == 0 else {}
        send(
            client,
            attempt(at, target="![t](http://192.0.2.1/t.png)", endpoint=HOSTILE, ms=20 + second, **broken),
            sample(at, 0.5, target=HOSTILE),
            sample(
                at, 0.5, target=HOSTILE, object="<img src=http://192.0.2.1/o.png>", metric="disk_used_ratio"
            ),
        )
    send(
        client,
        *_job(present - timedelta(seconds=3), job, last_success_age_s=300.0),
        Event(at=present - timedelta(minutes=5), job=job, state=JobState.FAILING, text=HOSTILE),
    )


def steps(client: Client, present: datetime, *, before_ms: float, after_ms: float) -> None:
    """An endpoint that was one value 16 to 29 minutes ago, and another for the last 14 minutes."""
    made = [
        attempt(present - timedelta(seconds=second), ms=after_ms if second < 840 else before_ms)
        for second in (*range(5, 840, 5), *range(960, 1740, 5))
    ]
    send(client, *made)
