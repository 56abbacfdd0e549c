"""The only door to the warehouse for every other process: typed, retrying, answering Polars frames."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar
from urllib.parse import quote

import httpx
import polars as pl

from warehouse import errors
from warehouse.baseline_calls import BaselineCalls
from warehouse.mark_calls import MarkCalls
from warehouse.model import Receipt
from warehouse.regression_calls import RegressionCalls
from warehouse.replies import Parameter, frame_of, query_of, raise_refusal, token_in, whole_body
from warehouse.run_calls import RunCalls
from warehouse.settings import Settings
from warehouse.wire import ARROW, pack

__all__ = ["Client", "ExportState", "Parameter", "pack"]

T = TypeVar("T")

RETRIES = 2
FIRST_PAUSE_S = 0.2
BLOCK_BYTES = 1 << 16
EXPORT_TIMEOUT_S = 600.0
"""How long an export may take to its first bytes, and between two blocks."""


@dataclass(frozen=True)
class ExportState:
    """How far an export has come: `running`, `done` or `broken`; `total_rows` where somebody counted."""

    state: str
    rows: int
    total_rows: int | None


class Client(RunCalls, MarkCalls, RegressionCalls, BaselineCalls):
    """Talks to one warehouse with one token. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        timeout_s: float = 15.0,
        retries: int = RETRIES,
        source: str | None = None,
    ) -> None:
        """`token` is called before each request, so that a token made later, or anew, is found."""
        self.url = url
        self._token = token
        self._retries = retries
        self._source = source
        self._http = httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(timeout_s, connect=2.0),
            trust_env=False,
            verify=url.startswith("https"),
        )

    @classmethod
    def for_process(cls, settings: Settings, process: str, **options: Any) -> Client:
        """The client of one of this configuration's processes: `collect`, `agent`, `dashboard` or `cli`."""
        remote = settings.agent if process == "agent" else settings.collectors
        if process in ("collect", "agent") and remote.warehouse_url is not None and remote.token is not None:
            source = settings.agent_name if process == "agent" else remote.name
            return cls(remote.warehouse_url, remote.token.reveal, source=source, **options)
        file = settings.token_dir / f"{process}.json"
        return cls(settings.warehouse.url, lambda: token_in(file), **options)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def health(self) -> dict[str, Any]:
        """Version, start and storage of the warehouse. Raises WarehouseAwayError."""
        answer: dict[str, Any] = self._request("GET", "/healthz", authorized=False).json()
        storage = answer.get("storage", {"state": "ok", "since_at": answer["started_at"]})
        storage["since_at"] = datetime.fromisoformat(storage["since_at"])
        return {**answer, "started_at": datetime.fromisoformat(answer["started_at"]), "storage": storage}

    def questions(self) -> list[dict[str, Any]]:
        """Every question with its parameters as a JSON schema."""
        answer: list[dict[str, Any]] = self._request("GET", "/api/v1/questions").json()
        return answer

    def send(self, batch_id: str, body: bytes, source: str | None = None) -> Receipt:
        """Send what `pack` made. Sent again with the same `batch_id`, it changes nothing.

        Raises WarehouseAwayError (send it again later), NotAllowedError, or RefusedError with the
        `status` and `field` (sending it again will not help).
        """
        headers = {"content-type": ARROW, "x-batch-id": batch_id}
        if source or self._source:
            headers["x-source"] = quote(source or self._source or "")
        return Receipt.model_validate(
            self._request("POST", "/api/v1/ingest", content=body, headers=headers).json()
        )

    def ask(self, question: str, **parameters: Parameter) -> pl.DataFrame:
        """The answer to a question: instants are UTC, names in full.

        Raises WarehouseAwayError, NotAllowedError, DeadlineError, TooManyRowsError or InvalidInputError.
        """
        asked = query_of(parameters)

        def send() -> bytearray:
            headers = {"accept": ARROW, **self._authorization()}
            path = f"/api/v1/ask/{question}"
            with self._http.stream("GET", path, params=asked, headers=headers) as answer:
                if answer.is_error:
                    answer.read()
                raise_refusal(answer)
                return whole_body(answer)

        return frame_of(self._tried(send))

    def export(
        self,
        question: str,
        form: str,
        out: Path | IO[bytes],
        on_progress: Callable[[int], None] | None = None,
        export_id: str | None = None,
        **parameters: Parameter,
    ) -> int:
        """Stream an answer of any length into `out`; returns the bytes written.

        `on_progress` hears of the bytes so far; `export_id`, new each time, is what `export_state` finds
        it by. A broken stream raises WarehouseAwayError; what was written until then is not a whole file.
        """
        if isinstance(out, Path):
            with out.open("wb") as file:
                return self.export(question, form, file, on_progress, export_id, **parameters)
        written = 0
        request = self._export_request(question, form, export_id, parameters)
        try:
            with self._http.stream(**request, timeout=EXPORT_TIMEOUT_S) as answer:
                if answer.is_error:
                    answer.read()
                raise_refusal(answer)
                for block in answer.iter_bytes(BLOCK_BYTES):
                    out.write(block)
                    written += len(block)
                    if on_progress:
                        on_progress(written)
        except httpx.HTTPError as error:
            raise self._away(error) from None
        return written

    @contextmanager
    def backup(self) -> Iterator[tuple[Iterator[bytes], int]]:
        """The whole warehouse as an archive's bytes, and how many rows they will hold.

        Raises the errors of `ask`; a broken stream raises WarehouseAwayError.
        """
        try:
            with self._http.stream("GET", "/api/v1/backup", headers=self._authorization()) as answer:
                if answer.is_error:
                    answer.read()
                raise_refusal(answer)
                yield answer.iter_bytes(BLOCK_BYTES), int(answer.headers["x-total-rows"])
        except httpx.HTTPError as error:
            raise self._away(error) from None

    def held_rows(self) -> int | None:
        """Rows that a restore would replace; None where the warehouse cannot read its file."""
        rows: int | None = self._request("GET", "/api/v1/restore").json()["rows"]
        return rows

    def restore(self, *, replace: bool) -> str | None:
        """Put the restored file in place; the name under which the file before it is kept, if it is.

        Not to be repeated blindly: an error may hide that it was done.
        """
        kept: str | None = self._request("POST", "/api/v1/restore", params={"replace": replace}).json()[
            "kept"
        ]
        return kept

    @asynccontextmanager
    async def exporting(
        self, question: str, form: str, export_id: str | None = None, **parameters: Parameter
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The blocks of an export, for a reader with an event loop; leaving early ends it there too.

        Raises as `export` does, within the block as well.
        """
        request = self._export_request(question, form, export_id, parameters)
        try:
            async with (
                httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=EXPORT_TIMEOUT_S) as http,
                http.stream(**request) as answer,
            ):
                if answer.is_error:
                    await answer.aread()
                raise_refusal(answer)
                yield answer.aiter_bytes(BLOCK_BYTES)
        except httpx.HTTPError as error:
            raise self._away(error) from None

    def export_state(self, export_id: str) -> ExportState:
        """How far an export has come. Raises RefusedError when it is not known (any more)."""
        told = self._request("GET", f"/api/v1/exports/{export_id}").json()
        return ExportState(told["state"], told["rows"], told["total_rows"])

    def count(self, question: str, **parameters: Parameter) -> int:
        """How many rows an answer has. Raises as `ask` does."""
        answer = self._request("GET", f"/api/v1/count/{question}", params=query_of(parameters))
        return int(answer.json()["rows"])

    def _export_request(
        self, question: str, form: str, export_id: str | None, parameters: Mapping[str, Parameter]
    ) -> dict[str, Any]:
        return {
            "method": "GET",
            "url": f"/api/v1/export/{question}",
            "params": [*query_of(parameters), ("format", form)],
            "headers": {**self._authorization(), **({"x-export-id": export_id} if export_id else {})},
        }

    def verify(self) -> Iterator[dict[str, Any]]:
        """Let the warehouse read its whole file; the steps of `warehouse.verify`, the last is `end`.

        Raises the errors of `ask`; a broken stream raises WarehouseAwayError.
        """
        return self._steps_of("GET", "verify")

    def compact(self) -> Iterator[dict[str, Any]]:
        """Let the warehouse give freed room back; the steps of `warehouse.compact`, last `end` or `error`.

        Raises the errors of `ask`; a broken stream raises WarehouseAwayError.
        """
        return self._steps_of("POST", "compact")

    def rebuild(self) -> Iterator[dict[str, Any]]:
        """Let the warehouse compute its cells anew; the steps of `warehouse.rebuild`. As `compact`."""
        return self._steps_of("POST", "rebuild")

    def _steps_of(self, method: str, action: str) -> Iterator[dict[str, Any]]:
        patient = httpx.Timeout(None, connect=2.0)
        try:
            with self._http.stream(
                method, f"/api/v1/{action}", headers=self._authorization(), timeout=patient
            ) as answer:
                if answer.is_error:
                    answer.read()
                raise_refusal(answer)
                for line in answer.iter_lines():
                    yield json.loads(line)
        except httpx.HTTPError as error:
            raise self._away(error) from None

    def _request(
        self,
        method: str,
        path: str,
        *,
        authorized: bool = True,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """One request, and its whole answer."""

        def send() -> httpx.Response:
            sent = {**(headers or {}), **(self._authorization() if authorized else {})}
            answer = self._http.request(method, path, headers=sent, **options)
            raise_refusal(answer)
            return answer

        return self._tried(send)

    def _tried(self, send: Callable[[], T]) -> T:
        """What a request gives, tried again while the warehouse is away: every request may be repeated."""
        pause = FIRST_PAUSE_S
        for attempt in range(self._retries + 1):
            try:
                return send()
            except (httpx.HTTPError, errors.WarehouseAwayError) as error:
                if attempt == self._retries:
                    raise self._away(error) from None
            time.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")

    def _authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token()}"}

    def _away(self, error: Exception) -> errors.WarehouseAwayError:
        if isinstance(error, errors.WarehouseAwayError):
            return error
        return errors.WarehouseAwayError(
            f"nothing usable answers at {self.url} ({type(error).__name__})",
            "Start it with `perfhouse up` or `perfhouse warehouse`, or look at its log.",
        )
