"""The route that streams an export to the browser: from the warehouse, through here, held nowhere."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import Any

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.tickets import TICKETS, Download, ExpiredError, State
from warehouse.doors import OWN_SITES, Doors
from warehouse.errors import PerfhouseError, RefusedError

PREFIX = "/download/"
LOOK_EVERY_S = 0.25
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}

NO_SUCH = "There is no such download. Export again from the page.\n"
USED = "This download was begun already, or its link is too old. Export again from the page.\n"
STOPPED = "This download was stopped. Export again from the page.\n"
FOREIGN = "Downloads begin on the dashboard's own pages.\n"

log = logging.getLogger(__name__)


class Downloads:
    """Answers GET /download/TICKET, and passes everything else on.

    It stands before Streamlit's own layers, whose compression would cost more than the export itself.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str], base_path: str = "") -> None:
        self._app = app
        self._prefix = f"/{base_path.strip('/')}{PREFIX}" if base_path.strip("/") else PREFIX
        self._behind_doors = Doors(self._answer, allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called by the server."""
        ours = scope["type"] == "http" and scope["path"].startswith(self._prefix)
        await (self._behind_doors if ours else self._app)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The file; a foreign page uses up no ticket, not even with a link that a person follows."""
        sites = Headers(scope=scope).getlist("sec-fetch-site")
        if any(site not in OWN_SITES for site in sites):
            await _refusal(403, FOREIGN)(scope, receive, send)
            return
        if scope["method"] != "GET":
            await _refusal(405, "Only GET is answered here.\n", allow="GET")(scope, receive, send)
            return
        try:
            download = TICKETS.redeem(scope["path"].removeprefix(self._prefix))
        except ExpiredError:
            await _refusal(410, USED)(scope, receive, send)
            return
        if download is None:
            await _refusal(404, NO_SUCH)(scope, receive, send)
            return
        await _Passage(download, scope, receive, send).run()


class _Passage:
    """One download on its way. Where it breaks off the answer has no end, and the browser says so."""

    def __init__(self, download: Download, scope: Scope, receive: Receive, send: Send) -> None:
        self._download = download
        self._scope, self._receive, self._send = scope, receive, send
        self._begun = False

    async def run(self) -> None:
        """Send all of it, until somebody stops it or it fails."""
        sending = asyncio.create_task(self._send_all())
        beside = [asyncio.create_task(watch(sending)) for watch in (self._leave, self._obey)]
        beside.append(asyncio.create_task(self._follow()))
        ending: State = "stopped"
        try:
            await sending
            await self._look()
            ending = "done"
        except PerfhouseError as error:
            ending, self._download.error = "failed", error
            log.warning("the download of %s failed: %s", self._download.question, error)
            status = error.status if isinstance(error, RefusedError) else 503
            await self._refuse(status, f"{error.title}: {error.message}. {error.hint}\n")
        except asyncio.CancelledError:
            await self._refuse(410, STOPPED)
        finally:
            for task in (sending, *beside):
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            self._download.state = ending

    async def _refuse(self, status: int, text: str) -> None:
        """Say why there is no file; too late when it has begun: then its missing end says it."""
        if not self._begun:
            await _refusal(status, text)(self._scope, self._receive, self._send)

    async def _send_all(self) -> None:
        download = self._download
        asked = {**download.parameters, "export_id": download.export_id}
        async with download.client.exporting(download.question, download.form, **asked) as blocks:
            async for block in blocks:
                if not self._begun:
                    await self._begin()
                await self._send({"type": "http.response.body", "body": block, "more_body": True})
                download.sent += len(block)
        if not self._begun:
            await self._begin()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self) -> None:
        headers = {
            "content-type": MEDIA_TYPES[self._download.form],
            "content-disposition": f'attachment; filename="{self._download.filename}"',
            **_GUARDS,
        }
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})
        self._begun = True

    async def _leave(self, sending: asyncio.Task[None]) -> None:
        """Stop when the browser is gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        sending.cancel()

    async def _obey(self, sending: asyncio.Task[None]) -> None:
        """Stop when the page, or the end of this process, says so."""
        while self._download.state == "running":  # noqa: ASYNC110 - a thread of a page sets it
            await asyncio.sleep(LOOK_EVERY_S)
        sending.cancel()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        """Note how many rows have come, as the warehouse tells."""
        with suppress(PerfhouseError):  # a download must not fail because its progress is not known
            state = await to_thread.run_sync(self._download.client.export_state, self._download.export_id)
            self._download.rows, self._download.total = state.rows, state.total_rows


_GUARDS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}


def _refusal(status: int, text: str, **headers: str) -> PlainTextResponse:
    return PlainTextResponse(text, status, {**_GUARDS, **headers})


@asynccontextmanager
async def ending_with_the_process(_: Any) -> AsyncIterator[None]:
    """Break off downloads when the server is told to stop: it would wait for them."""
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: FrameType | None) -> None:
        TICKETS.stop_all()
        before = previous[signal.Signals(number)]
        if callable(before):
            before(number, frame)

    for number in previous:
        signal.signal(number, stop)
    yield
