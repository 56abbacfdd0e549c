"""Packed batches for the spool's tests."""

from collections.abc import Sequence
from uuid import uuid4

from collectors.spool import Packed
from tests.warehouse.records import attempt
from warehouse.client import pack
from warehouse.model import Attempt, Batch, now


def packed(attempts: Sequence[Attempt] | None = None) -> Packed:
    """A real batch of attempts, as the daemon packs it."""
    attempts = [attempt()] if attempts is None else attempts
    batch = Batch(batch_id=uuid4().hex, attempts=tuple(attempts))
    instants = [row.at for row in attempts]
    return Packed(batch.batch_id, pack(batch), len(attempts), len(attempts), min(instants), max(instants))


def filler(size: int, rows: int = 1) -> Packed:
    """A body of `size` bytes that is no batch, for tests that never ship."""
    return Packed(uuid4().hex, bytes(size), rows, rows, now(), now())
