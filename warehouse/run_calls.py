"""The client's part for load tests: what people ask for, and what load agents tell."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import httpx

from warehouse.replies import asker_headers
from warehouse.run_model import Via


class _Requests(Protocol):
    def _request(self, method: str, path: str, **options: Any) -> httpx.Response: ...


class RunCalls:
    """Requests about runs. All raise WarehouseAwayError, NotAllowedError or RefusedError (status, field).

    `person` is who is signed in; `local` says that whoever asks sits at this machine. Both are believed
    of the dashboard, `person` of the command line too.
    """

    def request_run(
        self: _Requests,
        target: str,
        preset: str,
        scenario: str | None = None,
        *,
        via: Via,
        waits: bool = False,
        confirm: str | None = None,
        note: str = "",
        person: str | None = None,
        local: bool = False,
    ) -> dict[str, Any]:
        """Request a load test; its `run_id` and `state`. Tried again it is still one run."""
        asked: dict[str, object] = {"target": target, "preset": preset, "scenario": scenario, "via": via}
        asked |= {"waits": waits, "confirm": confirm, "note": note}
        headers = {**asker_headers(person, local=local), "x-request-id": secrets.token_urlsafe(16)}
        return _told(self._request("POST", "/api/v1/runs", json=asked, headers=headers))

    def cancel_run(
        self: _Requests, run_id: str, *, person: str | None = None, local: bool = False
    ) -> dict[str, Any]:
        """Stop a run gracefully."""
        headers = asker_headers(person, local=local)
        return _told(self._request("POST", f"/api/v1/runs/{run_id}/cancel", headers=headers))

    def pin_run(
        self: _Requests, run_id: str, *, pinned: bool = True, person: str | None = None, local: bool = False
    ) -> dict[str, Any]:
        """Make a run a baseline, or one no more."""
        headers = asker_headers(person, local=local)
        path = f"/api/v1/runs/{run_id}/baseline"
        return _told(self._request("POST", path, json={"pinned": pinned}, headers=headers))

    def note_run(
        self: _Requests, run_id: str, text: str, *, person: str | None = None, local: bool = False
    ) -> dict[str, Any]:
        """Replace the note on a run."""
        headers = asker_headers(person, local=local)
        return _told(
            self._request("POST", f"/api/v1/runs/{run_id}/note", json={"text": text}, headers=headers)
        )

    def delete_run(
        self: _Requests, run_id: str, *, person: str | None = None, local: bool = False
    ) -> dict[str, Any]:
        """Delete a run that has ended, with all it measured."""
        headers = asker_headers(person, local=local)
        return _told(self._request("DELETE", f"/api/v1/runs/{run_id}", headers=headers))

    def claim(
        self: _Requests, agent: str, *, version: str = "", advertise: str = "", busy: Iterable[str] = ()
    ) -> dict[str, Any]:
        """What a load agent is to do: `run` or None, `cancel` and `seats`."""
        asked = {"agent": agent, "version": version, "advertise": advertise, "busy": list(busy)}
        return _told(self._request("POST", "/api/v1/agent/claim", json=asked))

    def tell_missed(
        self: _Requests, schedule: str, target: str, preset: str, *, due_at_us: int, why: str
    ) -> dict[str, Any]:
        """Have it in the audit log that a scheduled run was missed; told again it changes nothing."""
        told = {"schedule": schedule, "target": target, "preset": preset, "due_at_us": due_at_us, "why": why}
        return _told(self._request("POST", "/api/v1/agent/missed", json=told))

    def report_run(self: _Requests, run_id: str, *, agent: str, state: str, **told: Any) -> dict[str, Any]:
        """Tell how a run does: the fields of `run_model.Report`."""
        report = {"agent": agent, "state": state, **told}
        return _told(self._request("POST", f"/api/v1/runs/{run_id}/report", json=report))

    def stored_spool(self: _Requests, run_id: str) -> dict[str, Any]:
        """Of each file of a run's spool the last piece that is stored: its `offset` and `rows`."""
        files: dict[str, Any] = _told(self._request("GET", f"/api/v1/runs/{run_id}/spool"))["files"]
        return files

    def send_rows(
        self: _Requests, run_id: str, worker: int, file: str, offset: int, body: bytes
    ) -> dict[str, Any]:
        """Send a piece of a spool's requests, from `offset` of `file`; again it changes nothing."""
        headers = _piece(run_id, worker, file, offset)
        return _told(self._request("POST", f"/api/v1/runs/{run_id}/rows", content=body, headers=headers))

    def send_events(
        self: _Requests, run_id: str, worker: int, file: str, offset: int, body: bytes
    ) -> dict[str, Any]:
        """As `send_rows`, of a spool's events."""
        headers = _piece(run_id, worker, file, offset)
        return _told(self._request("POST", f"/api/v1/runs/{run_id}/events", content=body, headers=headers))


def _piece(run_id: str, worker: int, file: str, offset: int) -> Mapping[str, str]:
    return {"x-batch-id": f"{run_id}:{file}:{offset}", "x-worker": str(worker)}


def _told(answer: httpx.Response) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()
    return told
