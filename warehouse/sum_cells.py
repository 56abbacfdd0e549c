"""Cells that add up: what samples, or statistics of queries, within an hour or a day come to. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from warehouse.cells import DAY, HOUR
from warehouse.tiers import QUERY_STAT, SAMPLE

_WORDS = {HOUR: "1h", DAY: "1d"}


@dataclass(frozen=True)
class Summed:
    """Raw rows of the table `name`, each of one `key` (a column), and the SQL of what they come to.

    `of_rows` makes the columns of a cell of raw rows, `of_cells` those of a wider cell of narrower ones, or
    of several that share no row: nothing is lost but the order of adding up. `same` are columns that tell
    exactly, `added` sums of fractions with SQL for the largest they could be. `label` is SQL of (key, its
    name) of all that have cells. Where `keeps_days`, cells of days are kept for ever.
    """

    name: str
    key: str
    of_rows: str
    of_cells: str
    same: tuple[str, ...]
    added: tuple[tuple[str, str], ...]
    label: str
    keeps_days: bool

    def table(self, width_s: int) -> str:
        """The table of its cells of a width in seconds."""
        return f"{self.name}_cell_{_WORDS[width_s]}"

    @property
    def days(self) -> str:
        """The tier of its cells of days."""
        return f"{self.name}_1d"

    @property
    def cells(self) -> str:
        """The tier whose `raw_from` tells since when there are cells of hours."""
        return f"{self.name}_cells"

    def grouped(self, columns: str, rows: str, width_s: int) -> str:
        """SQL of cells of a width: `columns` is one of its two, `rows` what stands behind FROM."""
        return f"""
            SELECT make_timestamp_ms(epoch_ms(ts) // {width_s * 1000} * {width_s * 1000}) AS ts, {self.key},
                {columns}
            FROM {rows} GROUP BY 1, 2 ORDER BY 1, 2
        """


SAMPLES = Summed(
    SAMPLE,
    "series_id",
    of_rows="""
        count(value)::UINTEGER AS n, count(*) FILTER (outcome <> 'ok')::UINTEGER AS failures,
        sum(value) AS sum, min(value) AS min, max(value) AS max, max(ts) AS last_at,
        arg_max_null(value, epoch_ms(ts) * 32 + enum_code(outcome)) AS last_value,
        arg_max(outcome, epoch_ms(ts) * 32 + enum_code(outcome)) AS last_outcome
    """,
    of_cells="""
        sum(n)::UINTEGER AS n, sum(failures)::UINTEGER AS failures,
        sum(sum) AS sum, min(min) AS min, max(max) AS max, max(last_at) AS last_at,
        arg_max_null(last_value, last_at) AS last_value, arg_max(last_outcome, last_at) AS last_outcome
    """,
    same=("n", "failures", "min", "max", "last_at", "last_outcome::VARCHAR"),
    added=(("sum", "n * greatest(abs(min), abs(max))"),),
    label="SELECT series_id, concat_ws(' ', target, object, metric) FROM series",
    keeps_days=True,
)
"""Samples. `n` counts those with a value; so do sum, min and max. Of two at one time either is the last."""

_SUMMED = (
    *("rows", "blocks_hit", "blocks_read", "blocks_dirtied", "blocks_written", "temp_blocks"),
    *("wal_bytes", "errors", "unindexed"),
)
_SUMS = ", ".join(f"sum({name})::BIGINT AS {name}" for name in _SUMMED)
_WHOLE = "CASE WHEN count({0}) = count(*) THEN {1}({0}) END AS {2}"
SQUARES = "CASE calls WHEN 1 THEN total_us * total_us ELSE squares_us2 END"
"""SQL for the sum of the squares of an interval's calls (µs²), which is known of a single call."""

QUERIES = Summed(
    QUERY_STAT,
    "shape_id",
    of_rows=f"""
        count(*)::UINTEGER AS intervals, sum(calls)::BIGINT AS calls, sum(total_us) AS total_us,
        {_WHOLE.format(SQUARES, "sum", "squares_us2")}, {_WHOLE.format("min_us", "min", "min_us")},
        max(max_us) AS max_us,
        max(CASE WHEN max_us IS NULL THEN coalesce(ceiling_us, total_us) END) AS ceiling_us,
        {_SUMS}, sum(io_us) AS io_us, bool_or(is_partial) AS is_partial, max(ts) AS last_at
    """,
    of_cells=f"""
        sum(intervals)::UINTEGER AS intervals, sum(calls)::BIGINT AS calls, sum(total_us) AS total_us,
        {_WHOLE.format("squares_us2", "sum", "squares_us2")},
        {_WHOLE.format("min_us", "min", "min_us")},
        max(max_us) AS max_us, max(ceiling_us) AS ceiling_us,
        {_SUMS}, sum(io_us) AS io_us, bool_or(is_partial) AS is_partial, max(last_at) AS last_at
    """,
    same=("intervals", "calls", "min_us", "max_us", "ceiling_us", *_SUMMED, "is_partial", "last_at"),
    added=(("total_us", "total_us"), ("squares_us2", "squares_us2"), ("io_us", "io_us")),
    label="SELECT shape_id, concat_ws(' ', target, database, shape) FROM query_shape",
    keeps_days=False,
)
"""Statistics of query shapes. The longest call is at most the greater of `max_us` and `ceiling_us`: the first
is the longest of those intervals that tell theirs, the second bounds the others, by what all their calls took
where nothing else does. `min_us` and `squares_us2` are there only where all intervals have them.
"""

KINDS = (SAMPLES, QUERIES)
