"""Writes a worker's spool: each request as a row when it ends, events beside them as JSON lines."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from loadtests.row_file import RowFile
from loadtests.spool_format import MAX_U4, OTHER_ERROR, OUTCOMES, events_file, rows_file
from warehouse.errors import StorageError
from warehouse.model import Outcome
from warehouse.plan import PARTS

LONGEST_TEXT = 300
_OUTCOME_NUMBERS = {outcome: number for number, outcome in enumerate(OUTCOMES)}
_PART_NUMBERS = {part: number for number, part in enumerate(PARTS)}


class Spool:
    """Appends to `requests-N.bin` and `events-N.jsonl`; what a process before it left there is kept.

    Instants are one reading of the wall clock plus the monotonic clock, so that they never step.
    `failure` says why rows could not be written, `lost` how many.
    """

    def __init__(self, run_dir: Path, worker: int) -> None:
        """Raises StorageError when the files cannot be opened."""
        self._anchor_ns = time.time_ns() - time.monotonic_ns()
        self.failure = ""
        self.lost = 0
        try:
            self._rows = RowFile(run_dir / rows_file(worker))
            self._events = _open(run_dir / events_file(worker))
            self._errors = _errors(run_dir / events_file(worker))
        except OSError as error:
            raise StorageError(f"cannot use the spool in {run_dir}: {error.strerror}") from None

    def close(self) -> None:
        """Let go of both files; a request that ends later is lost, and told as such."""
        self._rows.close()
        if self._events >= 0:
            os.close(self._events)
            self._events = -1

    def request(
        self,
        endpoint: int,
        part: str,
        user: int,
        intended_ns: int,
        start_ns: int,
        end_ns: int,
        outcome: Outcome,
        status: int = 0,
        length: int = 0,
        text: str = "",
    ) -> None:
        """Record one request. Instants are of `time.monotonic_ns`; `text` says why it failed."""
        error = self.error(endpoint, text) if text else 0
        wait_us = (start_ns - intended_ns) // 1000 if start_ns > intended_ns else 0
        service_us = (end_ns - start_ns) // 1000
        if wait_us > MAX_U4 or service_us > MAX_U4 or length > MAX_U4:
            wait_us, service_us, length = (min(each, MAX_U4) for each in (wait_us, service_us, length))
        try:
            self._rows.append(
                (start_ns + self._anchor_ns) // 1000,
                wait_us,
                service_us,
                length,
                user,
                status,
                endpoint,
                error,
                _OUTCOME_NUMBERS[outcome],
                _PART_NUMBERS[part],
            )
        except OSError as error_:
            self.lost += 1
            self.failure = self.failure or f"cannot write the spool: {error_.strerror}"

    def error(self, endpoint: int, text: str) -> int:
        """The number of an error's text; a text not seen before is told in the events."""
        text = "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST_TEXT])
        known = self._errors.get((endpoint, text))
        if known is not None:
            return known
        number = len(self._errors) + 1
        if number > OTHER_ERROR:
            return OTHER_ERROR
        if number == OTHER_ERROR:
            text = "other"
        self._errors[(endpoint, text)] = number
        self.event("error", error=number, endpoint=endpoint, text=text)
        return number

    def event(self, kind: str, **fields: Any) -> None:
        """Append one event; where the disk is full it is lost, as rows are. After the end nobody is told."""
        if self._events < 0:
            return
        line = json.dumps({"kind": kind, **fields}, ensure_ascii=False, separators=(",", ":")) + "\n"
        try:
            os.write(self._events, line.encode())
        except OSError as error:
            self.failure = self.failure or f"cannot write the spool: {error.strerror}"

    def life(self, state: str) -> None:
        """Tell a change in this process's life."""
        self.event("life", at_us=self.now_us(), state=state)

    def now_us(self) -> int:
        """The present instant in microseconds since the epoch, by this spool's clock."""
        return (time.monotonic_ns() + self._anchor_ns) // 1000


def _open(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _errors(file: Path) -> dict[tuple[int, str], int]:
    """Texts that a process before this one numbered."""
    known = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith('{"kind":"error"'):
            event = json.loads(line)
            known[(event["endpoint"], event["text"])] = event["error"]
    return known
