"""How true a probe's latency is: the daemon against a raw socket, idle and beside a heavy query."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from bench.filling import ATTEMPTS, ENDPOINTS, fill
from bench.report import Section, nearest_rank
from bench.service import ROOT, free_port, process, scratch, warehouse, write_config
from warehouse.client import Client
from warehouse.model import now
from warehouse.settings import Settings

PROBED = 100
INTERVAL_S = 5
DELAY_S = 0.020
SETTLE_S = 10.0
WATCH_S = 60.0
CONTROL_EVERY_S = 0.05
ALLOWED_MS = 2.0

SERVER = """
import asyncio, sys
BODY = b"x" * 1000
ANSWER = b"HTTP/1.1 200 OK\\r\\ncontent-length: 1000\\r\\nconnection: close\\r\\n\\r\\n" + BODY
async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    await asyncio.sleep(float(sys.argv[2]))
    writer.write(ANSWER)
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=512)
    await server.serve_forever()
asyncio.run(main())
"""

HEAVY = """
import sys
from datetime import timedelta
from pathlib import Path
from warehouse.client import Client
from warehouse.model import now
from warehouse.settings import load
client = Client.for_process(load(Path(sys.argv[1]), {}), "cli", timeout_s=60)
end = now()
while True:
    client.ask("percentile_trend", start=end - timedelta(days=20), end=end, target=["bench"])
"""


def measure() -> Section:
    """The daemon probes 100 endpoints every 5 s; a raw socket asks the same server in between."""
    rows = []
    with scratch() as folder:
        port = free_port()
        endpoints = "".join(f'[[target.endpoint]]\npath = "/{number}"\n' for number in range(PROBED))
        target = f'[[target]]\nname = "truth"\nurl = "http://127.0.0.1:{port}"\ninterval_s = {INTERVAL_S}\n'
        settings = write_config(folder, f"{target}{endpoints}", warehouse="deadline_s = 60")
        fill(settings, now())
        server = [sys.executable, "-c", SERVER, str(port), str(DELAY_S)]
        collect = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(settings.path), "collect"]
        with (
            process(server),
            warehouse(settings),
            process(collect),
            Client.for_process(settings, "cli", timeout_s=60) as client,
        ):
            time.sleep(SETTLE_S)
            for label in ("idle", "beside a heavy query, always"):
                with _heavy(settings, wanted=label != "idle"):
                    began = now()
                    control = _control(port)
                    ended = now()
                time.sleep(3)
                rows.append(_compare(client, label, control, began, ended))
    return Section(
        "Truth of a probe",
        f"""A server answers 1 kB after {DELAY_S * 1000:.0f} ms. The daemon (httpx, fresh connections)
probes {PROBED} endpoints of it every {INTERVAL_S} s for {WATCH_S:.0f} s; in the same seconds a blocking raw
socket in another process asks it every {CONTROL_EVERY_S * 1000:.0f} ms. Both time from connect to the last
byte. The heavy query is `percentile_trend` over {ATTEMPTS:,} attempts of {ENDPOINTS} endpoints, asked again
as soon as it is answered, on the same two cores.""",
        (
            "",
            "probes",
            "p50 / p95 / p99",
            "raw socket",
            "p50 / p95 / p99",
            "difference of p95",
            "loop lag p95",
        ),
        rows,
        f"Asked for: the p95 within {ALLOWED_MS:g} ms of the raw socket's.",
    )


@contextmanager
def _heavy(settings: Settings, *, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    with process([sys.executable, "-c", HEAVY, str(settings.path)]):
        time.sleep(3)
        yield


def _control(port: int) -> list[float]:
    """Milliseconds of one raw request after the other, on a grid of its own."""
    taken = []
    until = time.monotonic() + WATCH_S
    due = time.monotonic()
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /control HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            received = 0
            while part := connection.recv(65536):
                received += len(part)
                if received >= 1000 and part.endswith(b"x"):
                    last = time.perf_counter()
            taken.append((last - began) * 1000)
        due += CONTROL_EVERY_S
    return taken


def _compare(
    client: Client, label: str, control: list[float], began: datetime, ended: datetime
) -> tuple[str, ...]:
    attempts = client.ask("attempts", start=began, end=ended, target=["truth"])
    totals = [us / 1000 for us in attempts["total_us"].drop_nulls()]
    assert len(totals) == attempts.height, "every probe was answered"
    lags = [us / 1000 for us in attempts["loop_lag_us"].drop_nulls()]
    difference = nearest_rank(totals, 0.95) - nearest_rank(control, 0.95)
    return (
        label,
        f"{len(totals):,}",
        _levels(totals),
        f"{len(control):,}",
        _levels(control),
        f"{difference:+.2f} ms",
        f"{nearest_rank(lags, 0.95):.2f} ms" if lags else "not measured",
    )


def _levels(values: list[float]) -> str:
    return " / ".join(f"{nearest_rank(values, level):.2f}" for level in (0.5, 0.95, 0.99)) + " ms"
