"""What the samples of one series within an hour or a day come to: SQL that computes and merges such cells."""

from __future__ import annotations

from warehouse.cells import DAY, HOUR

TABLES = {HOUR: "sample_cell_1h", DAY: "sample_cell_1d"}
"""The table of cells of each width in seconds."""

OF_SAMPLES = """
    count(value)::UINTEGER AS n, count(*) FILTER (outcome <> 'ok')::UINTEGER AS failures,
    sum(value) AS sum, min(value) AS min, max(value) AS max, max(ts) AS last_at,
    arg_max_null(value, epoch_ms(ts) * 32 + enum_code(outcome)) AS last_value,
    arg_max(outcome, epoch_ms(ts) * 32 + enum_code(outcome)) AS last_outcome
"""
"""SQL of a cell's columns from single samples. `n` counts those with a value; so do sum, min and max."""

OF_CELLS = """
    sum(n)::UINTEGER AS n, sum(failures)::UINTEGER AS failures,
    sum(sum) AS sum, min(min) AS min, max(max) AS max, max(last_at) AS last_at,
    arg_max_null(last_value, last_at) AS last_value, arg_max(last_outcome, last_at) AS last_outcome
"""
"""SQL of a cell's columns from cells that share no sample: nothing is lost but the order of adding up."""


def grouped(columns: str, rows: str, width_s: int) -> str:
    """SQL of cells of a width: `columns` is one of the two above, `rows` what stands behind FROM."""
    return f"""
        SELECT make_timestamp_ms(epoch_ms(ts) // {width_s * 1000} * {width_s * 1000}) AS ts, series_id,
            {columns}
        FROM {rows} GROUP BY 1, 2 ORDER BY 1, 2
    """
