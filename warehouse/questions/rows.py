"""Makes the rows of an answer about percentiles of what the tiers told. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.cells import CENSORED, DAY, UNKNOWN, packed_of
from warehouse.histogram import ERROR_BOUND, LEVELS, Packed, Summary, joined, pack, summarise, tally
from warehouse.questions import joining, sealed
from warehouse.questions.asking import Tables
from warehouse.questions.joining import tier_text

Columns = dict[str, Any]
"""Columns of an answer as NumPy arrays, all of one length."""

COLUMNS = ["bucket", "series_id", "attempts", "n_ok", "timeouts", "max_us", "tags", "bound"]
COLUMNS += [f"{kind}{percent}" for percent in LEVELS for kind in ("p", "above")]

LAST = ("last_at", "last_outcome", "last_status")


def exact(table: pa.Table) -> Columns:
    """Sealed cells as they are; a p99 that is not stored is the longest one, where percentiles are known."""
    columns = _plain(table)
    for row, percent in enumerate(LEVELS):
        columns[f"p{percent}"] = _floats(table[f"p{percent}_us"])
        columns[f"above{percent}"] = columns["above"] >> row & 1 == 1
    longest = np.where(np.isnan(columns["p99"]), _floats(table["max_us"]), columns["p99"])
    columns["p99"] = np.where(columns["above"] & UNKNOWN, np.nan, longest)
    columns["bound"] = np.where(columns["tags"] == joining.TAGS[DAY], ERROR_BOUND, 0.0)
    return columns


def _ranked_rows(table: pa.Table) -> Columns:
    """Groups of attempts whose exact ranks the database found."""
    columns = _plain(table)
    ranks = table["ranks"].combine_chunks()
    flat = np.full((len(ranks), len(LEVELS)), np.nan)
    known = ranks.is_valid().to_numpy(zero_copy_only=False)
    flat[known] = ranks.flatten().to_numpy(zero_copy_only=False).reshape(-1, len(LEVELS))
    for place, percent in enumerate(LEVELS):
        columns[f"above{percent}"] = flat[:, place] >= CENSORED
        columns[f"p{percent}"] = flat[:, place] % CENSORED
    columns["tags"] = np.full(len(flat), joining.TAGS[joining.RAW])
    columns["bound"] = np.zeros(len(flat))
    return columns


def _merged_rows(tables: Tables) -> Columns:
    """Groups whose percentiles are those of merged histograms."""
    columns = _plain(tables["counts"])
    keys = _key(columns)
    order = np.argsort(keys)
    keys = keys[order]
    columns = {name: values[order] for name, values in columns.items()}
    packs: list[Packed] = []
    groups: list[Any] = []
    for blobs in sealed.told(tables):
        packs.append(packed_of(blobs["histogram"]))
        groups.append(np.searchsorted(keys, _key(_plain(blobs.drop_columns(["histogram"])))))
    if "bins" in tables:
        packs.append(_packed_bins(tables["bins"], keys))
        groups.append(np.arange(len(keys)))
    return _with_percentiles(columns, summarise(joined(packs), np.concatenate(groups), len(keys)))


def _with_percentiles(columns: Columns, summary: Summary) -> Columns:
    """The counts of groups with the percentiles of their histograms, never outside of what was measured."""
    low, high = _floats(columns["min_us"]), _floats(columns["max_us"])
    for row, percent in enumerate(LEVELS):
        us, above = summary.us[row], summary.above[row]
        columns[f"p{percent}"] = np.where(above, us, np.fmin(np.fmax(us, low), high))
        columns[f"above{percent}"] = above
        columns[f"p{percent}"][columns["n_ok"] + columns["timeouts"] == 0] = np.nan
    columns["bound"] = np.full(len(low), ERROR_BOUND)
    return columns


def finished(table: pa.Table) -> Columns:
    """Groups that come with the histograms of all their cells."""
    columns = _plain(table)
    lists = table["histograms"].combine_chunks()
    owner = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy(zero_copy_only=False))
    packed = packed_of(pa.chunked_array([lists.flatten()]))
    return _with_percentiles(columns, summarise(packed, owner, len(lists)))


def _packed_bins(bins: pa.Table, keys: Any) -> Packed:
    """The attempts of each group as one histogram."""
    owner = np.searchsorted(keys, _key(_plain(bins.select(["bucket", "series_id"]))))
    measured, late = (bins[name].is_valid().to_numpy() for name in ("bin", "deadline_us"))
    n = bins["n"].to_numpy()
    counts = [
        tally(owner[which], pc.fill_null(bins[name], 0).to_numpy()[which], n[which])
        for name, which in (("bin", measured), ("deadline_us", late))
    ]
    return pack(len(keys), *counts)


def _plain(table: pa.Table) -> Columns:
    return {
        name: table[name].to_numpy(zero_copy_only=False)
        for name in table.column_names
        if not pa.types.is_list(table[name].type)
    }


def _floats(column: Any) -> Any:
    values = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.ChunkedArray) else column
    return values.astype(np.float64)


def _key(columns: Columns) -> Any:
    """A number for each pair of a bucket and a series, in that order."""
    return columns["bucket"].astype(np.int64) << 32 | columns["series_id"].astype(np.int64)


_MAKERS: dict[str, Callable[[Tables], Columns]] = {
    "exact": lambda tables: exact(tables["exact"]),
    "raw": lambda tables: _ranked_rows(tables["raw"]),
    "counts": _merged_rows,
}


def all_rows(tables: Tables, more: Sequence[str] = ()) -> Columns:
    """The rows of all kinds, one after the other."""
    kinds = [make(tables) for name, make in _MAKERS.items() if name in tables]
    names = [*COLUMNS, *more]
    if not kinds:
        return {name: np.zeros(0) for name in names}
    return {
        name: kinds[0][name] if len(kinds) == 1 else np.concatenate([kind[name] for kind in kinds])
        for name in names
    }


def measures(rows: Columns) -> dict[str, pa.Array]:
    """The columns that both questions tell."""
    n_ok, timeouts, attempts = (
        rows[name].astype(np.int64, copy=False) for name in ("n_ok", "timeouts", "attempts")
    )
    columns = {
        "attempts": pa.array(attempts),
        "n": pa.array(n_ok + timeouts),
        "timeouts": pa.array(timeouts),
        "errors": pa.array(attempts - n_ok),
    }
    for percent in LEVELS:
        us = rows[f"p{percent}"]
        none = _where_nan(us)
        columns[f"p{percent}_ms"] = pa.array(us / 1000, mask=none)
        columns[f"p{percent}_above"] = pa.array(rows[f"above{percent}"].astype(bool, copy=False), mask=none)
    longest = _floats(rows["max_us"])
    columns["max_ms"] = pa.array(longest / 1000, mask=_where_nan(longest))
    columns["tier"] = of_few(rows["tags"].astype(np.int64, copy=False), tier_text)
    columns["source"] = of_few(np.zeros(len(n_ok), np.int64), lambda _: "probe")
    columns["error_bound"] = pa.array(rows["bound"].astype(np.float64, copy=False))
    return columns


def answered(rows: Columns, names: Mapping[str, pa.Array], width_s: int) -> pa.Table:
    """Rows of a trend as they are answered."""
    bucket_ms = rows["bucket"].astype(np.int64) * (width_s * 1000)
    return pa.table(
        {
            "bucket_at": pa.array(bucket_ms, pa.timestamp("ms")),
            "bucket_s": pa.array(np.full(len(bucket_ms), width_s, np.int64)),
            **names,
            **measures(rows),
        }
    )


def _where_nan(values: Any) -> Any:
    """Where there is no number; None where there is one everywhere."""
    found = np.isnan(values)
    return found if found.any() else None


def of_few(numbers: Any, text: Callable[[int], str]) -> pa.Array:
    """A column of few different texts, told by numbers."""
    if len(numbers) and (numbers == numbers[0]).all():
        kinds, places = numbers[:1], np.zeros(len(numbers), np.int64)
    else:
        kinds, places = np.unique(numbers, return_inverse=True)
    texts = pa.array([text(int(kind)) for kind in kinds], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int8)), texts)


def in_order(rows: Columns, tables: Tables, *, merged: bool) -> Columns:
    """The rows by bucket and by the names of their series, in whose order the chosen ones are."""
    key = rows["bucket"].astype(np.int64) << 32
    if not merged:
        key |= _places(rows, tables)
    if (key[1:] >= key[:-1]).all():
        return rows
    order = np.argsort(key, kind="stable")
    return {name: values[order] for name, values in rows.items()}


def names(rows: Columns, tables: Tables, *, merged: bool) -> dict[str, pa.Array]:
    """The names of each row's series; empty where all are pooled."""
    if merged:
        return no_names(len(rows["bucket"]))
    place, names = _places(rows, tables), {}
    for name in ("target", "endpoint"):
        encoded = with_dictionary(tables["chosen"][name])
        indices = encoded.indices.to_numpy()[place].astype(np.int32, copy=False)
        names[name] = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), encoded.dictionary)
    return names


def with_dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Texts as numbers of different ones."""
    return column.combine_chunks().dictionary_encode()


def no_names(n: int) -> dict[str, pa.Array]:
    """The names of rows that are pooled: none."""
    nothing = pa.nulls(n, pa.string()).dictionary_encode()
    empty = nothing.cast(pa.dictionary(pa.int32(), pa.string()))
    return {"target": empty, "endpoint": empty}


def _places(rows: Columns, tables: Tables) -> Any:
    """The place of each row's series among the chosen ones."""
    if not len(rows["series_id"]):
        return np.zeros(0, np.int64)
    numbers = tables["chosen"]["series_id"].to_numpy()
    place_of = np.zeros(int(numbers.max()) + 1, np.int64)
    place_of[numbers] = np.arange(len(numbers))
    return place_of[rows["series_id"].astype(np.int64, copy=False)]


def ratio(rows: Columns) -> Any:
    return (rows["attempts"] - rows["n_ok"]) / np.maximum(rows["attempts"], 1)


def is_none(values: Any) -> Any:
    return np.array([value is None or math.isnan(value) for value in values.tolist()], bool)
