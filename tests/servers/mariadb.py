"""A real MariaDB on a free port, its data gone with it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from tests.servers.ports import free_port

SERVER = "/usr/sbin/mariadbd"
START_S = 60
STOP_S = 20


class StartedMariaDb:
    """A running server that can be killed and started again. Its root has no password."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, user: str, password: str, database: str = "") -> str:
        """How a user reaches it."""
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str | None = None) -> "Connection[Cursor]":
        """A connection of root's; close it."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True
        )

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements as root."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()

    def create(self) -> None:
        """Make the data directory."""
        command = ["mariadb-install-db", "--no-defaults", f"--datadir={self._folder / 'data'}"]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db", f"--user={_user()}"]
        subprocess.run(command, check=True, capture_output=True, timeout=START_S)

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            *(SERVER, "--no-defaults", f"--datadir={self._folder / 'data'}", f"--user={_user()}"),
            *(f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self._folder / 'm.sock'}"),
            *("--performance-schema=ON", "--innodb-buffer-pool-size=32M", "--skip-name-resolve"),
            *self._options,
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
            try:
                self.connect().close()
                return
            except pymysql.OperationalError:
                time.sleep(0.05)
        raise AssertionError(f"no answer within {START_S} s")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)

    def file_bytes(self, database: str) -> int:
        """What the files of InnoDB's tables of a database take."""
        return sum(file.stat().st_size for file in (self._folder / "data" / database).glob("*.ibd"))

    def stop(self) -> None:
        """kill -9, and wait."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)
            self._process = None


def _user() -> str:
    return "root" if os.geteuid() == 0 else str(os.environ.get("USER", "nobody"))


@contextmanager
def running_mariadb(folder: Path, *options: str) -> Iterator[StartedMariaDb]:
    """A started server that is stopped at the end."""
    server = StartedMariaDb(folder, *options)
    server.create()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedMariaDb]:
    """One server for the whole session, which tells what each session runs.

    A conftest.py imports this by name to offer it to its tests.
    """
    tells = "--performance-schema-consumer-events-statements-current=ON"
    with running_mariadb(tmp_path_factory.mktemp("mariadb"), tells) as server:
        yield server
