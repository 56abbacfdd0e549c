"""`python -m demo`: starts PostgreSQL, prepares its data, serves the invoice API, stops both."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from demo.app import create_app, create_server
from demo.binaries import CHOICES
from demo.errors import EX_UNAVAILABLE, AlreadyRunningError, DemoError
from demo.postgres import Cluster, open_cluster
from demo.private import LOOPBACK
from demo.schema import prepare
from demo.service import KEPT_INVOICES

DEFAULT_PORT = 8000
LOCK_WAIT_S = 6.0
WATCH_S = 0.25
RESTARTS = 5
STABLE_S = 30.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def parse_arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="of the API, 0: any (default %(default)s)"
    )
    parser.add_argument("--data-dir", type=Path, default=Path("data/demo"), help="default %(default)s")
    parser.add_argument(
        "--postgres", choices=CHOICES, default="auto", help="which PostgreSQL (default %(default)s)"
    )
    parser.add_argument(
        "--keep",
        type=int,
        default=KEPT_INVOICES,
        help="invoices kept beyond the seeded ones (default %(default)s)",
    )
    return parser.parse_args()


def main() -> int:
    """Run the demo until it is told to stop; the exit code."""
    given = parse_arguments()
    for how in STOP_SIGNALS:
        signal.signal(how, _leave)
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # libpq's defaults belong to the person's own databases
    try:
        with _lock(given.data_dir), _listen(given.port) as listener, _running(given) as cluster:
            return _serve(cluster, listener, given.keep)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    except (OSError, psycopg.Error) as error:
        said = " ".join(str(error).split())
        print(f"demo: {said}. Check the space and permissions of {given.data_dir}", file=sys.stderr)
        return EX_UNAVAILABLE


def _leave(*_: object) -> None:
    raise SystemExit(0)


@contextmanager
def _lock(data_dir: Path) -> Iterator[None]:
    """Keep a second demo off the same data; one that is just stopping is waited for."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data_dir / "lock").open("a+", encoding="ascii") as file:
        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    file.seek(0)
                    raise AlreadyRunningError(
                        f"process {file.read().strip()} uses {data_dir} already",
                        "Stop it, or choose another --data-dir",
                    ) from None
                time.sleep(0.1)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    """The API's socket on the loopback interface, taken before anything else is started."""
    # With the protocol named: else asyncio leaves Nagle's algorithm on, and answers wait 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listener:
        try:
            listener.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise DemoError(f"cannot listen on {LOOPBACK}:{port}: {error}", "Choose another --port") from None
        yield listener


@contextmanager
def _running(given: argparse.Namespace) -> Iterator[Cluster]:
    """A started cluster that is stopped in the end, whatever happens."""
    cluster = open_cluster(given.data_dir, given.postgres)
    try:
        cluster.start()
        yield cluster
    finally:
        for how in STOP_SIGNALS:
            signal.signal(how, signal.SIG_IGN)
        cluster.stop()


def _serve(cluster: Cluster, listener: socket.socket, keep: int) -> int:
    """Serve until told to stop, and keep PostgreSQL running meanwhile."""
    access = prepare(cluster)
    port = listener.getsockname()[1]

    def announce() -> None:
        server_text = f"PostgreSQL {cluster.binaries.version} on {cluster.address}"
        print(f"demo ready: http://{LOOPBACK}:{port} ({server_text})", flush=True)

    server = create_server(create_app(access.app_url, keep), announce)

    async def serve_and_watch() -> None:
        watch = asyncio.create_task(_keep_running(cluster))
        watch.add_done_callback(lambda _: setattr(server, "should_exit", True))
        await server.serve(sockets=[listener])
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        if not watch.cancelled():
            watch.result()

    asyncio.run(serve_and_watch())
    return 0


async def _keep_running(cluster: Cluster) -> None:
    """Start PostgreSQL again when it ends. Raises DemoError when it does not stay up."""
    restarts, since = 0, time.monotonic()
    while True:
        await asyncio.sleep(WATCH_S)
        cluster.trim_log()
        if time.monotonic() - since > STABLE_S:
            restarts = 0
        if cluster.pid is not None:
            continue
        if restarts == RESTARTS:
            raise DemoError("PostgreSQL does not stay up", f"See {cluster.log_file}")
        restarts, since = restarts + 1, time.monotonic()
        print("PostgreSQL has ended; starting it again", file=sys.stderr)
        await asyncio.sleep(WATCH_S * 2**restarts)
        await asyncio.to_thread(cluster.end_strays)
        cluster.launch()


if __name__ == "__main__":
    sys.exit(main())
