"""The application's questions to its database: one function, one statement or one transaction."""

from __future__ import annotations

from typing import Any

from demo.database import Session
from demo.model import NewInvoice
from demo.schema import SEEDED_INVOICES, SEEDED_SUPPLIERS

TRIM_BATCH = 1000

# Every statement that serves a request sleeps slow_s seconds (normally 0) inside PostgreSQL, once:
# the switch makes the real query slower, and pg_stat_statements sees the same query get slower.


async def check(session: Session) -> None:
    """Whether the database answers."""
    await session.run("check", "SELECT 1 WHERE (SELECT pg_sleep(%(slow_s)s)) IS NOT NULL")


async def list_invoices(
    session: Session, *, limit: int, offset: int, status: str | None, supplier: str | None
) -> list[dict[str, Any]]:
    """One page of invoices, newest first."""
    return await session.run(
        "list_invoices",
        """
        SELECT page.id, suppliers.name AS supplier, number, status, amount_cents, currency,
               issued_on, due_on, page.created_at
        FROM (
            SELECT *
            FROM invoices
            WHERE (SELECT pg_sleep(%(slow_s)s)) IS NOT NULL
              AND (%(status)s::text IS NULL OR status = %(status)s)
              AND (%(supplier)s::text IS NULL
                   OR supplier_id = (SELECT id FROM suppliers WHERE name = %(supplier)s))
            ORDER BY id DESC
            LIMIT %(limit)s OFFSET %(offset)s
        ) AS page
        LEFT JOIN suppliers ON suppliers.id = supplier_id
        ORDER BY page.id DESC
        """,
        limit=limit,
        offset=offset,
        status=status,
        supplier=supplier,
    )


async def count_invoices(session: Session, *, status: str | None, supplier: str | None) -> int:
    """How many invoices there are in all pages."""
    rows = await session.run(
        "count_invoices",
        """
        SELECT count(*) AS total
        FROM invoices
        WHERE (%(status)s::text IS NULL OR status = %(status)s)
          AND (%(supplier)s::text IS NULL
               OR supplier_id = (SELECT id FROM suppliers WHERE name = %(supplier)s))
        """,
        status=status,
        supplier=supplier,
    )
    return int(rows[0]["total"])


async def get_invoice(session: Session, invoice_id: int) -> dict[str, Any] | None:
    """One invoice with its lines, or None."""
    rows = await session.run(
        "get_invoice",
        """
        SELECT invoices.id, suppliers.name AS supplier, number, status, amount_cents, currency,
               issued_on, due_on, invoices.created_at
        FROM invoices
        LEFT JOIN suppliers ON suppliers.id = supplier_id
        WHERE (SELECT pg_sleep(%(slow_s)s)) IS NOT NULL AND invoices.id = %(invoice_id)s
        """,
        invoice_id=invoice_id,
    )
    if not rows:
        return None
    lines = await session.run(
        "get_lines",
        """
        SELECT description, quantity, unit_price_cents
        FROM invoice_lines
        WHERE invoice_id = %(invoice_id)s
        ORDER BY position
        """,
        invoice_id=invoice_id,
    )
    return {**rows[0], "lines": lines}


async def add_invoice(session: Session, invoice: NewInvoice) -> int:
    """Store an invoice, its supplier where new, and its lines; the invoice's id."""
    async with session.transaction():
        supplier_id = await _supplier_id(session, invoice.supplier)
        rows = await session.run(
            "add_invoice",
            """
            INSERT INTO invoices (supplier_id, number, status, amount_cents, currency, issued_on, due_on)
            SELECT %(supplier_id)s, %(number)s, 'received', %(amount_cents)s, %(currency)s,
                   %(issued_on)s::date, %(due_on)s::date
            WHERE (SELECT pg_sleep(%(slow_s)s)) IS NOT NULL
            RETURNING id
            """,
            supplier_id=supplier_id,
            **invoice.model_dump(exclude={"supplier", "lines"}),
        )
        invoice_id = int(rows[0]["id"])
        await _add_lines(session, invoice_id, invoice)
    return invoice_id


async def add_upload(session: Session, file_name: str, file_bytes: int) -> int:
    """Store that a file waits to be processed; the id of its invoice."""
    rows = await session.run(
        "add_upload",
        """
        WITH invoice AS (
            INSERT INTO invoices (status)
            SELECT 'processing' WHERE (SELECT pg_sleep(%(slow_s)s)) IS NOT NULL
            RETURNING id
        )
        INSERT INTO processings (invoice_id, state, file_name, file_bytes)
        SELECT id, 'queued', %(file_name)s, %(file_bytes)s FROM invoice
        RETURNING invoice_id
        """,
        file_name=file_name,
        file_bytes=file_bytes,
    )
    return int(rows[0]["invoice_id"])


async def get_processing(session: Session, invoice_id: int) -> dict[str, Any] | None:
    """How far the processing of an uploaded invoice is, or None where nothing was uploaded."""
    rows = await session.run(
        "get_processing",
        """
        SELECT invoice_id, state, file_name, file_bytes, queued_at, started_at, finished_at, error
        FROM processings
        WHERE (SELECT pg_sleep(%(slow_s)s)) IS NOT NULL AND invoice_id = %(invoice_id)s
        """,
        invoice_id=invoice_id,
    )
    return rows[0] if rows else None


async def begin_processing(session: Session, invoice_id: int) -> None:
    """Store that an uploaded file has left the queue."""
    await session.run(
        "begin_processing",
        """
        UPDATE processings SET state = 'processing', started_at = clock_timestamp()
        WHERE invoice_id = %(invoice_id)s
        """,
        invoice_id=invoice_id,
    )


async def finish_processing(session: Session, invoice_id: int, invoice: NewInvoice) -> None:
    """Store what was read from an uploaded file."""
    async with session.transaction():
        supplier_id = await _supplier_id(session, invoice.supplier)
        await session.run(
            "fill_invoice",
            """
            UPDATE invoices
            SET supplier_id = %(supplier_id)s, number = %(number)s, status = 'received',
                amount_cents = %(amount_cents)s, currency = %(currency)s,
                issued_on = %(issued_on)s::date, due_on = %(due_on)s::date
            WHERE id = %(invoice_id)s
            """,
            invoice_id=invoice_id,
            supplier_id=supplier_id,
            **invoice.model_dump(exclude={"supplier", "lines"}),
        )
        await _add_lines(session, invoice_id, invoice)
        await session.run(
            "finish_processing",
            """
            UPDATE processings SET state = 'processed', finished_at = clock_timestamp()
            WHERE invoice_id = %(invoice_id)s
            """,
            invoice_id=invoice_id,
        )


async def fail_processing(session: Session, invoice_id: int, error: str) -> None:
    """Store why a file could not be processed."""
    await session.run(
        "fail_processing",
        """
        WITH failed AS (
            UPDATE processings SET state = 'failed', finished_at = clock_timestamp(), error = %(error)s
            WHERE invoice_id = %(invoice_id)s
            RETURNING invoice_id
        )
        UPDATE invoices SET status = 'failed' FROM failed WHERE id = failed.invoice_id
        """,
        invoice_id=invoice_id,
        error=error,
    )


async def trim(session: Session, *, newest_id: int, keep: int) -> int:
    """Delete the oldest invoices after the seed until at most `keep` are left; how many went.

    Ids grow, so a range of the primary key says which ones. Suppliers left without invoices go too.
    """
    removed = 0
    while True:
        rows = await session.run(
            "trim_invoices",
            """
            DELETE FROM invoices
            WHERE id IN (
                SELECT id FROM invoices
                WHERE id > %(seeded)s AND id <= %(newest_id)s - %(keep)s
                ORDER BY id LIMIT %(batch)s
            )
            RETURNING id
            """,
            seeded=SEEDED_INVOICES,
            newest_id=newest_id,
            keep=keep,
            batch=TRIM_BATCH,
        )
        removed += len(rows)
        if len(rows) < TRIM_BATCH:
            break
    await session.run(
        "trim_suppliers",
        """
        DELETE FROM suppliers
        WHERE id > %(seeded)s AND created_at < now() - interval '1 minute'
          AND NOT EXISTS (SELECT 1 FROM invoices WHERE supplier_id = suppliers.id)
        """,
        seeded=SEEDED_SUPPLIERS,
    )
    return removed


async def newest_id(session: Session) -> int:
    """The id of the newest invoice."""
    rows = await session.run("newest_id", "SELECT max(id) AS id FROM invoices")
    return int(rows[0]["id"] or 0)


async def _supplier_id(session: Session, name: str) -> int:
    """The supplier of this name, stored where new."""
    known = await session.run(
        "find_supplier", "SELECT id FROM suppliers WHERE name = %(name)s FOR KEY SHARE", name=name
    )
    if not known:
        known = await session.run(
            "add_supplier",
            """
            INSERT INTO suppliers (name) VALUES (%(name)s)
            ON CONFLICT (name) DO UPDATE SET name = excluded.name
            RETURNING id
            """,
            name=name,
        )
    return int(known[0]["id"])


async def _add_lines(session: Session, invoice_id: int, invoice: NewInvoice) -> None:
    if not invoice.lines:
        return
    await session.run(
        "add_lines",
        """
        INSERT INTO invoice_lines (invoice_id, position, description, quantity, unit_price_cents)
        SELECT %(invoice_id)s, line.position, line.description, line.quantity, line.unit_price_cents
        FROM unnest(%(descriptions)s::text[], %(quantities)s::integer[], %(prices)s::bigint[])
             WITH ORDINALITY AS line (description, quantity, unit_price_cents, position)
        """,
        invoice_id=invoice_id,
        descriptions=[line.description for line in invoice.lines],
        quantities=[line.quantity for line in invoice.lines],
        prices=[line.unit_price_cents for line in invoice.lines],
    )
