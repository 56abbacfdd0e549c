"""The client's part for baselines."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from warehouse.replies import asker_headers


class _Requests(Protocol):
    def _request(self, method: str, path: str, **options: Any) -> httpx.Response: ...


class BaselineCalls:
    """Requests about baselines. All raise WarehouseAwayError, NotAllowedError or RefusedError.

    `person` and `local` as for runs; answers are the fields of `baselines.BaselineAnswer`.
    """

    def pin_baseline(
        self: _Requests,
        target: str,
        name: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        runs: Sequence[str] = (),
        text: str = "",
        activate: bool = True,
        person: str | None = None,
        local: bool = False,
    ) -> dict[str, Any]:
        """Pin a period, or load tests. Tried again it is one baseline."""
        asked = {"target": target, "name": name, "runs": list(runs), "text": text, "activate": activate}
        asked |= {"start": start and start.isoformat(), "end": end and end.isoformat()}
        headers = {**asker_headers(person, local=local), "x-request-id": secrets.token_urlsafe(16)}
        told: dict[str, Any] = self._request("POST", "/api/v1/baselines", json=asked, headers=headers).json()
        return told

    def activate_baseline(
        self: _Requests, baseline_id: str, *, person: str | None = None, local: bool = False
    ) -> dict[str, Any]:
        """Compare with this one of its target's from now on."""
        path = f"/api/v1/baselines/{quote(baseline_id, safe='')}/activate"
        told: dict[str, Any] = self._request("POST", path, headers=asker_headers(person, local=local)).json()
        return told

    def remove_baseline(
        self: _Requests, baseline_id: str, *, person: str | None = None, local: bool = False
    ) -> dict[str, Any]:
        """Remove a baseline; what it was."""
        path = f"/api/v1/baselines/{quote(baseline_id, safe='')}"
        told: dict[str, Any] = self._request(
            "DELETE", path, headers=asker_headers(person, local=local)
        ).json()
        return told
