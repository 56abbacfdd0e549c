"""A real warehouse in a process of its own, on a free port and a directory of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.ports import free_port
from warehouse.client import Client
from warehouse.errors import WarehouseAwayError
from warehouse.settings import Settings, load

ROOT = Path(__file__).parents[2]
START_S = 90
STOP_S = 60
"""Far more than is needed where nothing else runs."""

SERVE = "import sys; from pathlib import Path; from warehouse import server, settings; "
SERVE += "server.run(settings.load(Path(sys.argv[1]), {}))"


class WarehouseProcess:
    """Starts, kills and starts again the warehouse of one configuration file."""

    def __init__(self, config: Path, log: Path | None = None) -> None:
        """What it prints goes to `log`, or where ours goes."""
        self.config = config
        self.log = log
        self.settings: Settings = load(config, {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, ready: bool = True) -> None:
        """Start the process and, unless told otherwise, wait until it answers."""
        out = None if self.log is None else self.log.open("ab")
        command = [sys.executable, "-c", SERVE, str(self.config)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        if out is not None:
            out.close()
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.kill()
                raise

    def wait_ready(self) -> None:
        """Wait until the warehouse answers; fail when it ends before."""
        client = Client(self.settings.warehouse.url, lambda: "", retries=0)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, f"the warehouse ended with {self._process.returncode}"
            try:
                client.health()
                client.close()
                return
            except WarehouseAwayError:
                time.sleep(0.05)
        raise AssertionError(f"the warehouse did not answer within {START_S} s")

    def stop(self) -> int:
        """Ask it to stop (SIGTERM); its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            os.kill(self._process.pid, how)
        code = self._process.wait(STOP_S)
        self._process = None
        return code

    def client(self, process: str, **options: object) -> Client:
        """A client of this warehouse with the token of one of its processes."""
        return Client.for_process(self.settings, process, **options)


def write_config(
    folder: Path, extra: str = "", *, warehouse: str = "", data_dir: Path | str = "data"
) -> Path:
    """A configuration with free ports and its data below `folder`, or in `data_dir`.

    `extra` is more TOML, `warehouse` more keys of its [warehouse] table.
    """
    config = folder / "perfhouse.toml"
    config.write_text(
        f'data_dir = "{data_dir}"\n[warehouse]\nport = {free_port()}\n{warehouse}\n'
        f"[dashboard]\nport = {free_port()}\n{extra}",
        encoding="utf-8",
    )
    return config


@contextmanager
def running_warehouse(
    folder: Path,
    extra: str = "",
    *,
    warehouse: str = "",
    data_dir: Path | str = "data",
    log: Path | None = None,
) -> Iterator[WarehouseProcess]:
    """A started warehouse that is stopped at the end."""
    process = WarehouseProcess(write_config(folder, extra, warehouse=warehouse, data_dir=data_dir), log)
    process.start()
    try:
        yield process
    finally:
        process.stop()
