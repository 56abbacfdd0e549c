"""The client's part for marks of deploys."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

import httpx


class _Requests(Protocol):
    def _request(self, method: str, path: str, **options: Any) -> httpx.Response: ...


class MarkCalls:
    """Requests about marks. All raise WarehouseAwayError, NotAllowedError or RefusedError (status, field)."""

    def mark(
        self: _Requests,
        version: str,
        target: str | None = None,
        text: str = "",
        at: datetime | None = None,
    ) -> dict[str, Any]:
        """Mark a deploy, now or then; the fields of `marks.MarkAnswer`. Tried again it is one mark."""
        asked = {"version": version, "target": target, "text": text, "at": at and at.isoformat()}
        headers = {"x-request-id": secrets.token_urlsafe(16)}
        told: dict[str, Any] = self._request("POST", "/api/v1/marks", json=asked, headers=headers).json()
        return told

    def unmark(self: _Requests, mark_id: str) -> dict[str, Any]:
        """Remove a mark; what it was."""
        told: dict[str, Any] = self._request("DELETE", f"/api/v1/marks/{quote(mark_id, safe='')}").json()
        return told
