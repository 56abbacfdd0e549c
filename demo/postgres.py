"""Starts, watches and stops a real PostgreSQL of our own, with pg_stat_statements."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from demo.account import Account, choose_account
from demo.binaries import Binaries, find_binaries
from demo.errors import DemoError
from demo.private import free_port, is_free, write_private
from demo.strays import remove, remove_lost_clusters, servers_of

ADMIN = "postgres"
START_S = 60.0
FAST_STOP_S = 2.5
HARD_STOP_S = 1.0
POLL_S = 0.05
PORT_ATTEMPTS = 3
LOG_LIMIT_BYTES = 5_000_000

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_preload_libraries": "pg_stat_statements",
    "shared_buffers": "64MB",
    "max_connections": "40",
    # Demo data: a power cut may cost it, and then it is made anew. A killed server loses nothing.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "track_io_timing": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class StartError(Exception):
    """PostgreSQL did not come up; the text is its own last word."""


class Cluster:
    """One PostgreSQL cluster that belongs to one data directory.

    Connections come over TCP on 127.0.0.1 at a free port, with a random password (SCRAM) that stands
    in `data_dir/admin.url`, mode 0600. Not safe for two processes at once: the caller holds a lock.
    """

    def __init__(self, data_dir: Path, binaries: Binaries, account: Account) -> None:
        self.data_dir = data_dir
        self.binaries = binaries
        self.account = account
        self.settings: Mapping[str, str] = SETTINGS
        self.home = account.folder(data_dir)
        self.folder = self.home / "cluster"
        self.log_file = data_dir / "postgres.log"
        self._url_file = data_dir / "admin.url"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def admin_url(self) -> str:
        """How its superuser connects. Holds a password."""
        return self._url_file.read_text(encoding="utf-8").strip()

    @property
    def address(self) -> str:
        """Host and port, free of secrets."""
        parts = urlsplit(self.admin_url)
        return f"{parts.hostname}:{parts.port}"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Bring it up and wait until it answers. Raises DemoError.

        A cluster that cannot be used (another major version, damaged, a lost password) is demo data
        and made anew.
        """
        self.stop()
        for left in self.home.glob("draft-*"):
            remove(left)
        if not self._is_usable():
            self._create()
        try:
            self._start_somewhere()
        except StartError as error:
            self.stop()
            print(f"PostgreSQL did not start ({error}); making the demo data anew", file=sys.stderr)
            self._create()
            try:
                self._start_somewhere()
            except StartError as again:
                self.stop()
                raise DemoError(f"PostgreSQL does not start: {again}", f"See {self.log_file}") from None

    def launch(self) -> None:
        """Start the server process and return at once; `pid` says whether it lives."""
        command = [str(self.binaries.folder / "postgres"), "-D", str(self.folder)]
        for name, value in {**self.settings, "port": str(urlsplit(self.admin_url).port)}.items():
            command += ["-c", f"{name}={value}"]
        with self.log_file.open("ab") as log:
            self._process = self.account.launch(command, log)

    def stop(self) -> None:
        """Stop the server: sessions are ended; killed where it does not obey."""
        if self._process is not None:
            for how, wait_s in (
                (signal.SIGINT, FAST_STOP_S),
                (signal.SIGQUIT, HARD_STOP_S),
                (signal.SIGKILL, HARD_STOP_S),
            ):
                if self._process.poll() is not None:
                    break
                self._process.send_signal(how)
                try:
                    self._process.wait(wait_s)
                except subprocess.TimeoutExpired:
                    continue
            self._process = None
        self.end_strays()

    def end_strays(self) -> None:
        """End what an earlier, killed demo left running on this cluster, and its pid file."""
        servers = servers_of(self.folder)
        for server in servers:
            _send(server, signal.SIGINT)
        _, alive = psutil.wait_procs(servers, timeout=FAST_STOP_S)
        for server in {*alive, *servers_of(self.folder)}:
            _send(server, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=HARD_STOP_S)
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def trim_log(self) -> None:
        """Keep the server's log from growing without bound."""
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_LIMIT_BYTES:
            with self.log_file.open("r+b") as log:
                log.truncate(0)

    def discard(self) -> None:
        """Delete the cluster and all that belongs to it. The server must have been stopped."""
        for path in (self.home, self._url_file, self.log_file):
            remove(path)

    def _is_usable(self) -> bool:
        """Whether there is a cluster of our major version whose password we know."""
        version = self.folder / "PG_VERSION"
        if not version.exists() or not self._url_file.exists():
            return False
        found = version.read_text(encoding="ascii").strip()
        if found != self.binaries.major:
            print(
                f"the demo's cluster is of PostgreSQL {found}, this is {self.binaries.version}:"
                " making the demo data anew",
                file=sys.stderr,
            )
        return found == self.binaries.major

    def _create(self) -> None:
        """Make an empty cluster. It appears complete or not at all. Raises DemoError."""
        remove(self.folder)
        password = secrets.token_urlsafe(24)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=self.home))
        self.account.own(draft)
        password_file = self.home / f"{draft.name}.password"
        password_file.touch(mode=0o600)
        try:
            password_file.write_text(password, encoding="utf-8")
            self.account.own(password_file)
            self._run_initdb(draft, password_file)
        finally:
            password_file.unlink()
        write_private(self._url_file, f"postgresql://{ADMIN}:{password}@127.0.0.1:{free_port()}/postgres")
        draft.rename(self.folder)

    def _run_initdb(self, folder: Path, password_file: Path) -> None:
        command = [
            *(str(self.binaries.folder / "initdb"), "-D", str(folder), "-U", ADMIN),
            *("-A", "scram-sha-256", f"--pwfile={password_file}"),
            *("-E", "UTF8", "--locale=C", "--no-sync"),
        ]
        try:
            process = self.account.launch(command, subprocess.PIPE)
            output, _ = process.communicate(timeout=START_S)
        except OSError as error:
            raise DemoError(f"initdb cannot be run: {error.strerror}", f"See {command[0]}") from None
        except subprocess.TimeoutExpired:
            process.kill()
            raise DemoError(f"initdb did not finish in {START_S:g} s", "Is the disk well?") from None
        if process.returncode:
            said = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
            problem = next((line for line in said if "error:" in line), said[-1] if said else "no output")
            raise DemoError(f"initdb failed: {problem}", f"Check the space and permissions of {self.home}")

    def _choose_port(self) -> None:
        """Keep the port of last time where it is free, else choose another."""
        url = self.admin_url
        port = urlsplit(url).port
        assert port is not None
        if not is_free(port):
            write_private(self._url_file, url.replace(f":{port}/", f":{free_port()}/"))

    def _start_somewhere(self) -> None:
        """Launch and wait; again where another program was quicker to take the port."""
        for attempt in range(PORT_ATTEMPTS):
            written = self.log_file.stat().st_size if self.log_file.exists() else 0
            self._choose_port()
            self.launch()
            try:
                self._wait_ready(written)
            except StartError as error:
                if "could not bind" not in str(error) or attempt == PORT_ATTEMPTS - 1:
                    raise
            else:
                return

    def _wait_ready(self, log_offset: int) -> None:
        """Wait until a connection succeeds. Raises StartError with the server's own words."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            try:
                psycopg.connect(self.admin_url, connect_timeout=2, sslmode="disable").close()
                return
            except psycopg.OperationalError as error:
                if "authentication failed" in str(error):
                    raise StartError("its password is not the one in admin.url") from None
            if self.pid is None:
                raise StartError(self._last_words(log_offset))
            time.sleep(POLL_S)
        raise StartError(f"no answer within {START_S:g} s")

    def _last_words(self, offset: int) -> str:
        """Why the server ended, from what it logged after `offset`."""
        with self.log_file.open("rb") as log:
            log.seek(offset)
            lines = log.read(100_000).decode(errors="replace").splitlines()
        reasons = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
        binding = [line for line in lines if "could not bind" in line]
        chosen = (binding or reasons or lines or ["it logged nothing"])[-1]
        return chosen.rpartition("FATAL:  ")[2].rpartition("LOG:  ")[2].strip()


def open_cluster(data_dir: Path, choice: str = "auto") -> Cluster:
    """The cluster of `data_dir`, not started yet. `choice` is auto, debian or wheel. Raises DemoError."""
    account = choose_account()
    binaries = find_binaries(choice, account)
    if account.switches:
        remove_lost_clusters()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Cluster(data_dir, binaries, account)


def _send(process: psutil.Process, how: signal.Signals) -> None:
    try:
        process.send_signal(how)
    except psutil.NoSuchProcess:
        return
