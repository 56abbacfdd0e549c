"""How the open warehouse does, as `/healthz` tells it."""

from __future__ import annotations

from warehouse import VERSION
from warehouse.declared import ClockHealth, Health, LossHealth, StorageHealth
from warehouse.keeper import Condition, StorageState
from warehouse.service import Warehouse


def health(warehouse: Warehouse) -> Health:
    """The state of the process and of its storage."""
    file_bytes, wal_bytes = warehouse.store.sizes()
    condition, space, held = warehouse.keeper.condition, warehouse.keeper.space, warehouse.writer.held
    stores = condition.state is StorageState.OK
    if stores and held is not None:
        condition = Condition(StorageState.CATCHING_UP, held.reason, held.since_at)
    return Health(
        status="ok" if stores else "degraded",
        version=VERSION,
        schema_version=warehouse.store.schema_version,
        started_at=warehouse.started_at,
        file_bytes=file_bytes,
        wal_bytes=wal_bytes,
        simulated=warehouse.store.simulated,
        storage=StorageHealth(
            state=condition.state,
            reason=condition.reason,
            since_at=condition.since_at,
            readable=warehouse.store.readable,
            free_bytes=space.free if space else None,
            reserve_bytes=space.reserve if space else None,
        ),
        losses=[LossHealth(found_at=at, text=text) for at, text in warehouse.keeper.losses],
        clock=ClockHealth(retention_held_s=round(warehouse.clock.held_s, 1), reason=warehouse.clock.why),
    )
