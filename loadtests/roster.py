"""The runs of this machine: those found in the runs directory, and those taken since."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from loadtests.folder import Folder, folders_in
from loadtests.launching import Launch, launch
from loadtests.reattach import Watch
from loadtests.shipping import Shipment
from warehouse.lock import make_private

log = logging.getLogger(__name__)

KEPT_S = 86_400.0
"""How long a run's directory stays after the warehouse has all of it."""


class Taken(Enum):
    """What became of a run that the warehouse gave us."""

    STARTED = auto()
    RUNNING = auto()
    OVER = auto()
    CLOSED = auto()


@dataclass
class LocalRun:
    """One run that this machine still has to do with."""

    folder: Folder
    watch: Watch
    shipment: Shipment

    @property
    def run_id(self) -> str:
        """The run's name everywhere."""
        return self.folder.run_id


class Roster:
    """Knows which runs this machine has to do with, across restarts. Safe to share between threads."""

    def __init__(self, runs_dir: Path, launcher: Launch = launch) -> None:
        self._dir = runs_dir
        self._launch = launcher
        self._lock = threading.Lock()
        self._runs: dict[str, LocalRun] = {}
        self._closed = False

    def close(self) -> None:
        """Begin no more runs."""
        with self._lock:
            self._closed = True

    def reattach(self) -> None:
        """Find the runs that an agent before us left. Raises OSError."""
        make_private(self._dir)
        for folder in folders_in(self._dir):
            shipment = Shipment(folder)
            if shipment.complete_at is not None:
                continue
            if folder.plan is None and folder.state is None and not folder.spool():
                log.warning("%s was never begun; its directory is removed", folder.run_id)
                shutil.rmtree(folder.path, ignore_errors=True)
                continue
            with self._lock:
                self._runs[folder.run_id] = LocalRun(folder, Watch(folder), shipment)
            log.info("reattached to %s", folder.run_id)

    def take(self, run_id: str, plan: str, seat: dict[str, Any] | None) -> Taken:
        """Start a run. Raises OSError when it cannot be started."""
        folder = Folder(self._dir / run_id)
        with self._lock:
            if self._closed:
                return Taken.CLOSED
            if run_id in self._runs:
                return Taken.RUNNING
            if folder.plan is not None:
                return Taken.OVER
            folder.make(plan, seat)
            try:
                process = self._launch(folder)
            except OSError:
                shutil.rmtree(folder.path, ignore_errors=True)
                raise
            self._runs[run_id] = LocalRun(folder, Watch(folder, process), Shipment(folder))
        return Taken.STARTED

    @property
    def runs(self) -> list[LocalRun]:
        """The runs that are not over and done with."""
        with self._lock:
            return list(self._runs.values())

    def find(self, run_id: str) -> LocalRun | None:
        """One of them."""
        with self._lock:
            return self._runs.get(run_id)

    def finish(self, run: LocalRun) -> None:
        """The warehouse knows all of it. Raises OSError."""
        run.shipment.complete(time.time())
        with self._lock:
            self._runs.pop(run.run_id, None)

    def clean(self) -> None:
        """Delete the directories of runs that the warehouse has had all of for a day."""
        for folder in folders_in(self._dir):
            complete_at = Shipment(folder).complete_at
            if complete_at is not None and time.time() - complete_at > KEPT_S:
                shutil.rmtree(folder.path, ignore_errors=True)
                log.info("deleted %s: the warehouse has had it for a day", folder.path)
