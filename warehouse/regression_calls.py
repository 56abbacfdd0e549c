"""The client's part for regressions."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import quote

import httpx

from warehouse.replies import asker_headers


class _Requests(Protocol):
    def _request(self, method: str, path: str, **options: Any) -> httpx.Response: ...


class RegressionCalls:
    """Requests about regressions. All raise WarehouseAwayError, NotAllowedError or RefusedError."""

    def judge_regression(
        self: _Requests,
        regression_id: str,
        action: str,
        text: str = "",
        *,
        person: str | None = None,
        local: bool = False,
    ) -> dict[str, Any]:
        """`acknowledge`, `resolve` or `reopen` a regression; the fields of `regressions.LifeAnswer`."""
        told: dict[str, Any] = self._request(
            "POST",
            f"/api/v1/regressions/{quote(regression_id, safe='')}",
            json={"action": action, "text": text},
            headers=asker_headers(person, local=local),
        ).json()
        return told
