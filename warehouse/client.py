"""The only door to the warehouse for every other process: typed, retrying, answering Polars frames."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import quote

import httpx
import polars as pl

from warehouse import errors
from warehouse.model import Receipt
from warehouse.settings import Settings
from warehouse.wire import ARROW, pack

__all__ = ["Client", "Parameter", "pack"]

Parameter = str | int | float | bool | datetime | None | Iterable[str]

RETRIES = 2
FIRST_PAUSE_S = 0.2
BLOCK_BYTES = 1 << 16


class Client:
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
        """The client of one of this configuration's processes: `collect`, `dashboard` or `cli`."""
        remote = settings.collectors
        if process == "collect" and remote.warehouse_url is not None and remote.token is not None:
            return cls(remote.warehouse_url, remote.token.reveal, source=remote.name, **options)
        file = settings.token_dir / f"{process}.json"
        return cls(settings.warehouse.url, lambda: _token_in(file), **options)

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
        """The answer to a question: instants are UTC.

        Raises WarehouseAwayError, NotAllowedError, DeadlineError, TooManyRowsError or InvalidInputError.
        """
        answer = self._request(
            "GET",
            f"/api/v1/ask/{question}",
            params=_query(parameters),
            headers={"accept": ARROW},
        )
        return pl.read_ipc_stream(answer.content)

    def export(
        self,
        question: str,
        form: str,
        out: Path | IO[bytes],
        on_progress: Callable[[int], None] | None = None,
        **parameters: Parameter,
    ) -> int:
        """Stream an answer of any length into `out`; returns the bytes written.

        `on_progress` hears of the bytes so far. A broken stream raises WarehouseAwayError; what was
        written until then is not a whole file.
        """
        if isinstance(out, Path):
            with out.open("wb") as file:
                return self.export(question, form, file, on_progress, **parameters)
        written = 0
        query = [*_query(parameters), ("format", form)]
        try:
            with self._http.stream(
                "GET", f"/api/v1/export/{question}", params=query, headers=self._authorization()
            ) as answer:
                if answer.is_error:
                    answer.read()
                _raise_refusal(answer)
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
                _raise_refusal(answer)
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

    def _request(
        self,
        method: str,
        path: str,
        *,
        authorized: bool = True,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """One request, tried again while the warehouse is away: every request may be repeated."""
        pause = FIRST_PAUSE_S
        for attempt in range(self._retries + 1):
            try:
                sent = {**(headers or {}), **(self._authorization() if authorized else {})}
                answer = self._http.request(method, path, headers=sent, **options)
                _raise_refusal(answer)
                return answer
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


def _token_in(file: Path) -> str:
    try:
        token = json.loads(file.read_text(encoding="utf-8"))["token"]
    except (OSError, ValueError, KeyError):
        token = None
    if not isinstance(token, str):
        raise errors.WarehouseAwayError(
            f"no token in {file}", "The warehouse writes it when it first starts: `perfhouse warehouse`."
        )
    return token


def _query(parameters: Mapping[str, Parameter]) -> list[tuple[str, str | int | float | bool | None]]:
    query: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in parameters.items():
        if value is None:
            continue
        several = value if not isinstance(value, str) and isinstance(value, Iterable) else (value,)
        query += [(name, _text(item)) for item in several]
    return query


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


_BY_STATUS: Mapping[int, type[errors.RefusedError]] = {
    401: errors.NotAllowedError,
    403: errors.NotAllowedError,
    504: errors.DeadlineError,
}


def _raise_refusal(answer: httpx.Response) -> None:
    """Turn an error answer into the error it is."""
    if not answer.is_error:
        return
    told = _told(answer)
    message = told.get("message") or f"HTTP {answer.status_code}"
    hint = told.get("hint", "")
    if answer.status_code >= 500 and answer.status_code != 504:
        raise errors.WarehouseAwayError(message, hint)
    kind = _BY_STATUS.get(answer.status_code, errors.RefusedError)
    if told.get("title") == errors.TooManyRowsError.title:
        kind = errors.TooManyRowsError
    raise kind(message, hint, status=answer.status_code, field=told.get("field", ""))


def _told(answer: httpx.Response) -> dict[str, str]:
    """The warehouse's own words; none when something else answered in its place."""
    try:
        error = json.loads(answer.content)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {key: str(value) for key, value in error.items()} if isinstance(error, dict) else {}
