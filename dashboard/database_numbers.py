"""Numbers of a database server: what its databases tell apart, put together for the whole server."""

from __future__ import annotations

import polars as pl

SUMMED = frozenset({"transactions_per_s", "rollbacks_per_s", "queries_per_s", "commands_per_s", "keys"})
"""What databases of one server tell apart, and adds up."""

Figures = tuple[float | None, float | None, float | None]
"""Mean, maximum and sum over a window."""


def whole_server(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of the whole server; rates and counts told by database alone are added up."""
    own = rows.filter(pl.col("object") == "")
    told = own["metric"].unique().to_list()
    rest = rows.filter(~pl.col("metric").is_in(told))
    summable = pl.col("metric").is_in([*SUMMED]) | pl.col("metric").str.ends_with("_total")
    single = rest.filter(~summable & (pl.col("object") == _busiest(rows)))
    own = pl.concat([own, single.with_columns(object=pl.lit(""))])
    rest = rest.filter(summable)
    if rest.is_empty():
        return own
    summed = rest.group_by("bucket_at", "bucket_s", "target", "metric", "unit", maintain_order=True).agg(
        pl.col("n").max(), pl.col("failures").max(), pl.col("mean", "max", "sum").sum()
    )
    return pl.concat([own, summed.with_columns(object=pl.lit(""))], how="diagonal_relaxed").sort("bucket_at")


def _busiest(rows: pl.DataFrame) -> str:
    """The database of a server that ends most transactions: its cache is the one to tell first."""
    known = rows.filter((pl.col("metric") == "transactions_per_s") & (pl.col("object") != ""))
    totals = known.group_by("object").agg(pl.col("sum").sum()).sort("sum", "object", descending=[True, False])
    return str(totals["object"][0]) if len(totals) else ""


def in_window(rows: pl.DataFrame | None, metric: str) -> Figures:
    """Mean, maximum and sum of a metric over the whole window; None without samples."""
    if rows is None:
        return None, None, None
    known = rows.filter((pl.col("metric") == metric) & (pl.col("n") > 0) & pl.col("mean").is_not_null())
    n = int(known["n"].sum())
    if not n:
        return None, None, None
    highest = known["max"].max()
    return (
        float((known["mean"] * known["n"]).sum() / n),
        float(highest) if isinstance(highest, float | int) else None,
        float(known["sum"].sum()),
    )
