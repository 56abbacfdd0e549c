"""The endpoints of the invoice API."""

from __future__ import annotations

from typing import Annotated, Any

import psycopg
from fastapi import HTTPException, Path, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import StringConstraints

from demo import invoices
from demo.database import slow_query_s
from demo.model import NewInvoice, Status
from demo.processing import Upload
from demo.reading import SUFFIXES, is_readable_kind
from demo.service import Serving
from demo.tokens import LIFETIME_S

MAX_FILE_BYTES = 1_000_000
MAX_ID = 2**63 - 1
RETRY_AFTER = {"Retry-After": "1"}

InvoiceId = Annotated[int, Path(alias="id")]
SupplierFilter = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]


def require_good_token(request: Request, service: Serving) -> None:
    """A token is optional; one that was not given out here, or has ended, is refused."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and not service.tokens.is_good(token.strip()):
        raise HTTPException(401, "unknown or expired token", {"WWW-Authenticate": "Bearer"})


async def get_health(service: Serving) -> JSONResponse:
    """Whether the service and its database work."""
    try:
        async with service.database.session() as session:
            await invoices.check(session)
    except psycopg.OperationalError as error:
        body = {"status": "unavailable", "database": "away", "detail": _in_one_line(error)}
        return JSONResponse(body, 503, RETRY_AFTER)
    return JSONResponse({"status": "ok", "database": "ok"})


async def get_invoices(
    service: Serving,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    status: Status | None = None,
    supplier: SupplierFilter | None = None,
) -> dict[str, Any]:
    """One page of invoices, newest first, and how many there are."""
    async with service.database.session() as session:
        items = await invoices.list_invoices(
            session, limit=limit, offset=offset, status=status, supplier=supplier
        )
        total = await invoices.count_invoices(session, status=status, supplier=supplier)
    return {"items": items, "total": total, "limit": limit, "offset": offset}


async def post_invoice(service: Serving, invoice: NewInvoice, response: Response) -> dict[str, Any]:
    """Store a new invoice."""
    async with service.database.session() as session:
        invoice_id = await invoices.add_invoice(session, invoice)
    service.note_added(invoice_id)
    response.headers["Location"] = f"/api/v1/invoices/{invoice_id}"
    return {"id": invoice_id, "status": "received", **invoice.model_dump()}


async def get_invoice(service: Serving, invoice_id: InvoiceId) -> dict[str, Any]:
    """One invoice with its lines. The cache is passed by while the switch makes queries slow."""
    invoice = service.cache.get(invoice_id) if slow_query_s.get() == 0 else None
    if invoice is None:
        _refuse_impossible(invoice_id)
        async with service.database.session() as session:
            invoice = await invoices.get_invoice(session, invoice_id)
        if invoice is None:
            raise HTTPException(404, f"there is no invoice {invoice_id}")
        service.cache.put(invoice_id, invoice)
    return invoice


async def upload_invoice(service: Serving, file: UploadFile) -> JSONResponse:
    """Take an invoice file, to be processed in the background."""
    name = (file.filename or "")[:200]
    if not name.isprintable() or not is_readable_kind(name):
        raise HTTPException(415, f"expected a file named *{', *'.join(SUFFIXES)}")
    content = await file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise HTTPException(413, f"expected a file of at most {MAX_FILE_BYTES} bytes")
    if not service.processor.reserve():
        raise HTTPException(503, "too many files wait to be processed", RETRY_AFTER)
    try:
        async with service.database.session() as session:
            invoice_id = await invoices.add_upload(session, name, len(content))
    except BaseException:
        service.processor.give_back()
        raise
    service.processor.submit(Upload(invoice_id, name, content))
    service.note_added(invoice_id)
    location = f"/api/v1/invoices/{invoice_id}/processing"
    return JSONResponse({"id": invoice_id, "state": "queued"}, 202, {"Location": location})


async def get_processing(service: Serving, invoice_id: InvoiceId) -> dict[str, Any]:
    """How far the processing of an uploaded invoice is: queued, processing, processed or failed."""
    _refuse_impossible(invoice_id)
    async with service.database.session() as session:
        processing = await invoices.get_processing(session, invoice_id)
    if processing is None:
        raise HTTPException(404, f"no file was uploaded for an invoice {invoice_id}")
    return processing


async def give_dev_token(service: Serving) -> dict[str, Any]:
    """A bearer token for development."""
    return {"access_token": service.tokens.issue(), "token_type": "bearer", "expires_in": LIFETIME_S}


async def get_metrics(service: Serving, request: Request) -> Response:
    """Everything measured, for Prometheus."""
    service.database.count_connections()
    body, content_type = service.metrics.render(request.headers.get("accept", ""))
    return Response(body, media_type=None, headers={"Content-Type": content_type})


async def answer_invalid(_: Request, error: Exception) -> JSONResponse:
    """422 that names each field and what was expected, without sending the input back."""
    assert isinstance(error, RequestValidationError)
    faults = [{name: fault[name] for name in ("loc", "msg", "type")} for fault in error.errors()]
    return JSONResponse({"detail": faults}, 422)


async def answer_database_away(_: Request, error: Exception) -> JSONResponse:
    """503 in place of a traceback when the database cannot be reached."""
    body = {"detail": "the database is away; try again", "reason": _in_one_line(error)}
    return JSONResponse(body, 503, RETRY_AFTER)


def _refuse_impossible(invoice_id: int) -> None:
    if invoice_id > MAX_ID:
        raise HTTPException(404, f"there is no invoice {invoice_id}")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
