"""Does what somebody asks for, in one transaction with its row in the audit log; or notes why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from warehouse import audit
from warehouse.access import Asker, refuse_stranger
from warehouse.errors import InvalidInputError, NotAllowedError, RefusedError
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.service import Warehouse

T = TypeVar("T")


def audited(
    warehouse: Warehouse,
    asks: Asker,
    action: str,
    subject: str,
    work: Callable[[DuckDBPyConnection], T],
    *,
    via: str = "",
    launches: bool = False,
    told: Callable[[T], str] | None = None,
) -> T:
    """Do it if this asker may. `via` is where from, else the token's name.

    `told` names what was made, by which a request that is sent again is known and noted once.
    Raises NotAllowedError, and what the work raises; either is in the log then.
    """

    def do(connection: DuckDBPyConnection) -> T:
        with transaction(connection):
            answer = work(connection)
            row = (asks.name, via or asks.token.name, action, subject)
            if told is None:
                audit.note(connection, *row, audit.DONE)
            else:
                audit.note_once(connection, *row, told(answer))
            return answer

    try:
        refuse_stranger(asks, warehouse.settings.access, via if launches else "")
        return warehouse.writer.submit(do).result()
    except (RefusedError, NotAllowedError, InvalidInputError) as error:
        refused = (asks.name, via or asks.token.name, action, subject, audit.REFUSED, str(error))
        warehouse.writer.submit(lambda connection: audit.note(connection, *refused)).result()
        error.is_audited = True
        raise
