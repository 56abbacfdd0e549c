"""Many attempts put straight into a warehouse that does not run: sending them would take minutes."""

from datetime import datetime

from warehouse.model import now
from warehouse.settings import Settings
from warehouse.store import Store

ENDPOINTS = 10


def fill_attempts(settings: Settings, rows: int, until: datetime | None = None) -> None:
    """`rows` attempts of ENDPOINTS endpoints over the last 7 days, one in 200 a timeout."""
    store = Store(settings)
    connection = store.cursor()
    end = (until or now()).replace(tzinfo=None)
    connection.execute(
        "INSERT INTO series (kind, target, object, metric, unit, direction, source, first_seen_at) "
        "SELECT 'probe', 'shop', 'GET /' || i, 'latency', 'us', 'lower', 'local', ? FROM range(?) AS t(i)",
        [end, ENDPOINTS],
    )
    connection.execute(
        """
        INSERT INTO attempt
        SELECT $end - to_milliseconds(($rows - i) * 7 * 86400000 // $rows), series_id,
            CASE WHEN i % 200 = 0 THEN 'timeout' ELSE 'ok' END, CASE WHEN i % 200 = 0 THEN NULL ELSE 200 END,
            NULL, 150, NULL, CASE WHEN i % 200 = 0 THEN NULL ELSE 900 + i * 7919 % 100000 END,
            CASE WHEN i % 200 = 0 THEN NULL ELSE 1000 + i * 7919 % 100000 END, 512, 20, 3000000
        FROM range($rows) AS t(i) JOIN (
            SELECT series_id, row_number() OVER (ORDER BY series_id) - 1 AS place FROM series
        ) ON place = i % $endpoints
        """,
        {"end": end, "rows": rows, "endpoints": ENDPOINTS},
    )
    connection.execute("CHECKPOINT")
    connection.close()
    store.close()
