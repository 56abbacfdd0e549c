"""A run as one portable file: what was asked, every request, seconds and endpoints; read anywhere, safely.

A zip of `run.json` (the run with its plan, versions and summary) and Parquet files of the questions
`run_requests`, `run_seconds` and `run_endpoints`. Secrets are in none of them: a plan only refers to them.
A bundle may come from anybody, so nothing of it is trusted: names, sizes, columns and types are checked
before anything is read, and nothing is ever unpacked to a path that it names.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from warehouse import VERSION
from warehouse.client import Client
from warehouse.errors import InvalidInputError
from warehouse.plan import plateaus

FORMAT = 1
RUN = "run.json"
TABLES = {
    "requests.parquet": "run_requests",
    "seconds.parquet": "run_seconds",
    "endpoints.parquet": "run_endpoints",
}
MEMBERS = (RUN, *TABLES)

MOST_RUN_BYTES = 8_000_000
MOST_TABLE_BYTES = 2_000_000_000
MOST_ROWS = 50_000_000
MOST_UNPACKED_BYTES = 8_000_000_000
"""Of one Parquet file, as its own directory tells it."""

LONGEST_S = 100_000_000
"""About three years: longer than any run."""

BLOCK_BYTES = 1 << 20

NEEDED: Mapping[str, tuple[pa.DataType, ...]] = {
    "elapsed_s": (pa.float64(),),
    "label": (pa.string(), pa.large_string()),
    "part": (pa.string(), pa.large_string()),
    "outcome": (pa.string(), pa.large_string()),
    "corrected_us": (pa.int64(), pa.uint64()),
}
"""Columns of requests.parquet that a comparison reads, with the types they may have."""


class BundledPlateau(BaseModel):
    """Where planned users stood still."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    from_s: float = Field(ge=0, le=1e8)
    to_s: float = Field(ge=0, le=1e8)
    users: int = Field(ge=0, le=1_000_000)


class BundledRequest(BaseModel):
    """One request of a plan, by what it is called; the rest is only compared."""

    model_config = ConfigDict(extra="allow")

    label: str = Field(max_length=500)


class BundledToken(BaseModel):
    """A plan's request for tokens."""

    model_config = ConfigDict(extra="allow")

    request: dict[str, Any] = {}


class BundledPlan(BaseModel):
    """What of a plan a comparison looks at."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    order: str = Field(max_length=50)
    think_s: list[float] = Field(max_length=2)
    pacing_s: float | None = None
    arrivals: str = Field(max_length=50)
    rate_per_s: float | None = None
    token: BundledToken | None = None
    requests: list[BundledRequest] = Field(max_length=10_000)


class BundledRun(BaseModel):
    """run.json: the run, and where its planned users stood still."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    format: int = Field(ge=1)
    run_id: str = Field(min_length=1, max_length=100)
    state: str = Field(max_length=20)
    scenario_hash: str = Field(max_length=100)
    plan: BundledPlan
    length_s: float = Field(ge=0, le=1e8)
    plateaus: list[BundledPlateau] = Field(max_length=10_000)


@dataclass(frozen=True)
class Bundle:
    """What was read of a bundle; `requests` has the columns of NEEDED."""

    run: BundledRun
    requests: pa.Table


def write(client: Client, run_id: str, out: Path) -> int:
    """Write a run as a bundle; returns its bytes. The file appears whole or not at all.

    Raises InvalidInputError for a run that is not there or has not ended, and the errors of the client.
    """
    row = run_row(client, run_id)
    if row["ended_at"] is None:
        raise InvalidInputError(f"run {run_id} has not ended: it is {row['state']}", field="run")
    if row["raw_deleted_at"] is not None:
        hint = "Pin a run as a baseline to keep its requests for ever."
        told = f"single requests of run {run_id} were deleted on {row['raw_deleted_at']:%Y-%m-%d}"
        raise InvalidInputError(told, field="run", hint=hint)
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(draft, "x", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.writestr(RUN, _run_json(row), zipfile.ZIP_DEFLATED)
            for name, question in TABLES.items():
                with archive.open(name, "w", force_zip64=True) as member:
                    client.export(question, "parquet", member, run_id=run_id)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return out.stat().st_size


def run_row(client: Client, run_id: str) -> dict[str, Any]:
    """One run with its plan. Raises InvalidInputError where there is none."""
    found = client.ask("run", run_id=run_id)
    if found.is_empty():
        raise InvalidInputError(f"there is no run {run_id}", field="run", hint="It may have been deleted.")
    return found.row(0, named=True)


def read(file: Path) -> Bundle:
    """Read a bundle. Raises InvalidInputError saying what is wrong with it."""
    try:
        with zipfile.ZipFile(file) as archive:
            _refuse_members(archive, file)
            run = _read_run(archive, file)
            with _unpacked(archive, "requests.parquet", file) as table:
                return Bundle(run, _read_requests(table, file))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _refused(file, f"it is no sound zip file ({error})") from None
    except OSError as error:
        raise _refused(file, f"it cannot be read: {error.strerror or error}") from None


def _run_json(row: Mapping[str, Any]) -> str:
    """The run, its texts that are JSON as objects, and what a comparison needs beside them."""
    told = {name: value for name, value in row.items() if name != "run_no"}
    for name in ("plan", "versions", "criteria"):
        told[name] = json.loads(told[name]) if told.get(name) else None
    began, ended = row["started_at"] or row["requested_at"], row["ended_at"]
    told |= {
        "format": FORMAT,
        "written_by": VERSION,
        "written_at": datetime.now(UTC),
        "length_s": (ended - began).total_seconds(),
        "plateaus": [
            {"from_s": from_s, "to_s": to_s, "users": users}
            for from_s, to_s, users in plateaus([tuple(stage) for stage in told["plan"]["stages"]])
        ],
    }
    return json.dumps(told, default=_plain, indent=2, ensure_ascii=False)


def _refuse_members(archive: zipfile.ZipFile, file: Path) -> None:
    """Raises InvalidInputError for an archive that holds anything but what a bundle does."""
    names = [member.filename for member in archive.infolist()]
    for name in names:
        if name not in MEMBERS:
            raise _refused(file, f"it holds {name!r:.120}, which no bundle does")
    missing = [name for name in MEMBERS if name not in names]
    if missing:
        raise _refused(file, f"it holds no {', '.join(missing)}")
    if len(names) != len(MEMBERS):
        raise _refused(file, "it holds a name twice")
    for member in archive.infolist():
        most = MOST_RUN_BYTES if member.filename == RUN else MOST_TABLE_BYTES
        if member.file_size > most:
            raise _refused(file, f"{member.filename} is larger than {most:,} bytes")
        if member.flag_bits & 1:
            raise _refused(file, f"{member.filename} is encrypted")


def _read_run(archive: zipfile.ZipFile, file: Path) -> BundledRun:
    with archive.open(RUN) as member:
        text = member.read(MOST_RUN_BYTES + 1)
    if len(text) > MOST_RUN_BYTES:
        raise _refused(file, f"{RUN} is larger than {MOST_RUN_BYTES:,} bytes")
    try:
        run = BundledRun.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise _refused(file, f"{RUN}: {place:.120}: {first['msg']:.200}") from None
    if run.format > FORMAT:
        raise _refused(file, f"it is of format {run.format}, and this Perfhouse reads up to {FORMAT}")
    return run


@contextmanager
def _unpacked(archive: zipfile.ZipFile, name: str, file: Path) -> Iterator[Path]:
    """A member as a file of our own, of no more bytes than it may have whatever the archive says."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as copy, archive.open(name) as member:
        size = 0
        while block := member.read(BLOCK_BYTES):
            size += len(block)
            if size > MOST_TABLE_BYTES:
                raise _refused(file, f"{name} is larger than {MOST_TABLE_BYTES:,} bytes")
            copy.write(block)
        copy.flush()
        yield Path(copy.name)


def _read_requests(table: Path, file: Path) -> pa.Table:
    """The columns that are needed, of the load's requests alone."""
    try:
        with pq.ParquetFile(table) as parquet:
            _refuse_columns(parquet, file)
        with pq.ParquetFile(table, read_dictionary=["label", "part", "outcome"]) as parquet:
            batches = [
                batch.filter(pc.equal(batch["part"].cast(pa.string()), "load"))
                for batch in parquet.iter_batches(BLOCK_BYTES // 8, columns=list(NEEDED))
            ]
            found = pa.Table.from_batches(batches, batches[0].schema) if batches else None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _refused(file, f"requests.parquet cannot be read ({error!s:.200})") from None
    if found is None:
        return pa.table({name: pa.array([], kinds[0]) for name, kinds in NEEDED.items()})
    _refuse_values(found, file)
    return found


def _refuse_columns(parquet: pq.ParquetFile, file: Path) -> None:
    """Raises InvalidInputError before anything but the file's own directory was read."""
    told, schema = parquet.metadata, parquet.schema_arrow
    for name, kinds in NEEDED.items():
        if schema.get_field_index(name) < 0:
            raise _refused(file, f"requests.parquet has no column {name}, or has it twice")
        kind = schema.field(name).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        if plain not in kinds:
            raise _refused(file, f"requests.parquet: expected {name} of {kinds[0]}, it is of {plain}")
    unpacked = sum(told.row_group(place).total_byte_size for place in range(told.num_row_groups))
    if told.num_rows > MOST_ROWS or unpacked > MOST_UNPACKED_BYTES:
        raise _refused(file, f"requests.parquet holds more than {MOST_ROWS:,} requests")


def _refuse_values(found: pa.Table, file: Path) -> None:
    for name in NEEDED:
        if found[name].null_count:
            raise _refused(file, f"requests.parquet: {name} is empty in some rows")
    if found.num_rows:
        at_s, took_us = found["elapsed_s"].to_numpy(), found["corrected_us"].to_numpy()
        if not np.isfinite(at_s).all() or (np.abs(at_s) > LONGEST_S).any():
            raise _refused(file, "requests.parquet: elapsed_s is no time within a run")
        if (took_us < 0).any() or (took_us > LONGEST_S * 1_000_000).any():
            raise _refused(file, "requests.parquet: corrected_us is no duration within a run")


def _refused(file: Path, why: str) -> InvalidInputError:
    return InvalidInputError(f"{file} is no bundle that can be read: {why}", field="bundle")


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
