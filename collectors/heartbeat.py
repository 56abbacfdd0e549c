"""When the daemon was last alive, kept in a file, so that the next start can tell how long it was down."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ValidationError

from collectors.record import MOST_MISSED, held
from warehouse.model import Gap, GapReason

log = logging.getLogger(__name__)


class _Beat(BaseModel):
    at: AwareDatetime
    jobs: tuple[str, ...]


class Heartbeat:
    """One small file; everything measured until its instant is safe in the spool."""

    def __init__(self, file: Path, jobs: Mapping[str, float]) -> None:
        """`jobs` are the names of all jobs with their intervals in seconds."""
        self._file = file
        self._jobs = jobs

    def beat(self, at: datetime) -> None:
        """Say that all is safe that was measured until `at`."""
        draft = self._file.with_suffix(".draft")
        try:
            draft.write_text(_Beat(at=at, jobs=tuple(self._jobs)).model_dump_json(), encoding="utf-8")
            draft.chmod(0o600)
            draft.replace(self._file)
        except OSError as error:
            log.debug("no heartbeat: %s", error.strerror)

    def gaps(self, at: datetime) -> list[Gap]:
        """A gap for each job that ran before, and was due at least once since the last heartbeat."""
        try:
            last = _Beat.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValidationError) as error:
            log.warning("the last heartbeat cannot be read: %s", type(error).__name__)
            return []
        down = at - last.at
        return [
            Gap(
                at=held(last.at),
                until=held(at),
                job=job,
                reason=GapReason.DOWN,
                missed=min(int(down / timedelta(seconds=interval_s)), MOST_MISSED),
            )
            for job, interval_s in self._jobs.items()
            if job in last.jobs and down > timedelta(seconds=interval_s)
        ]
