"""The routes that stream the whole warehouse, and put a restored one in its place."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from warehouse.backup import Snapshot
from warehouse.declared import refusals
from warehouse.errors import NotAllowedError
from warehouse.exchange import held_rows
from warehouse.place import Place
from warehouse.service import Warehouse
from warehouse.streamed import Streamed
from warehouse.tokens import Token

MEDIA_TYPE = "application/x-tar"
ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The archive, in the order of its files",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


RESTORER = "cli"
"""Whose token alone may restore: that of this machine's command line, which built the file."""


class Held(BaseModel):
    """What a restore would replace: rows of measurements, or null where the file cannot be read."""

    rows: int | None


class Exchanged(BaseModel):
    """The name under which the file that was replaced is kept; null where it held nothing."""

    kept: str | None


def backup_routes(
    warehouse: Warehouse, may_read: Callable[..., Token], may_act: Callable[..., Token]
) -> APIRouter:
    """`/backup`, one at a time and outside the places of questions and exports, and `/restore`."""
    router = APIRouter()
    place = Place("a backup runs already")

    @router.get("/backup", response_class=Response, responses=ARCHIVE | refusals(400, 401, 403, 409, 503))
    def backup(_: Annotated[Token, Depends(may_read)]) -> Response:
        """Every row of every table as it is now, as an archive; no tokens."""
        place.take()
        blocks = _archive(warehouse, place)
        rows, first = int(next(blocks)), next(blocks)
        return Streamed(
            first,
            blocks,
            media_type=MEDIA_TYPE,
            headers={
                "content-disposition": 'attachment; filename="perfhouse-backup.tar"',
                "x-total-rows": str(rows),
            },
        )

    @router.get("/restore", responses=refusals(400, 401, 403, 503))
    def held(_: Annotated[Token, Depends(may_read)]) -> Held:
        """What a restore would replace."""
        return Held(rows=held_rows(warehouse.store))

    @router.post("/restore", responses=refusals(400, 401, 403, 409, 422, 503))
    def restore(token: Annotated[Token, Depends(may_act)], replace: bool = False) -> Exchanged:
        """Put the file that `perfhouse restore` built in the place of the present one.

        With `replace` also where that holds measurements: it is kept.
        """
        if token.name != RESTORER:
            hint = "Run `perfhouse restore` on the machine of the warehouse."
            raise NotAllowedError(f"the token {token.name} may not restore", hint, status=403)
        kept = warehouse.exchange(replace=replace)
        return Exchanged(kept=kept.name if kept else None)

    return router


def _archive(warehouse: Warehouse, place: Place) -> Generator[bytes]:
    """The number of rows, in digits, then the archive's bytes; the place is free again at its end."""
    with ExitStack() as ending:
        ending.callback(place.leave)
        snapshot = Snapshot(ending.enter_context(warehouse.store.lend()))
        yield str(snapshot.rows).encode()
        yield from snapshot.archive()
