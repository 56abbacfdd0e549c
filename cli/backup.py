"""Writes the whole warehouse into one file, proves the file, and checks such files later."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cli.progress import Progress
from warehouse import restore, store
from warehouse.archive import Archive, Follower, Manifest
from warehouse.backup import Snapshot
from warehouse.client import Client
from warehouse.errors import InvalidInputError
from warehouse.leases import Lease
from warehouse.offline import holding
from warehouse.settings import Settings

NICENESS = 10

READ_TIMEOUT_S = 600.0
"""How long the warehouse may be silent: it reads a whole table for its row hash before it goes on."""


def step_back() -> None:
    """Be as nice as the warehouse: a copy of what was measured must not bend what is measured meanwhile."""
    os.nice(NICENESS)


def backup(settings: Settings, out: Path | None, *, force: bool) -> str:
    """Write a backup to `out`, or to stdout; returns what was written, in words.

    The file appears whole, synced and proved against its digests, or not at all. Raises
    InvalidInputError, StorageError, DamagedBackupError and the errors of the client.
    """
    if out is None:
        if sys.stdout.isatty():
            hint = "Name a file, or pipe it on."
            raise InvalidInputError("a backup is not for a terminal", field="FILE", hint=hint)
        with _source(settings) as (blocks, rows):
            written = _copy(blocks, sys.stdout.buffer, rows)
            sys.stdout.flush()
        return f"wrote {written:,} bytes"
    _refuse_existing(out, force=force)
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with _private(draft) as file, _source(settings) as (blocks, rows):
            written = _copy(blocks, file, rows)
        with Archive(draft) as archive:
            archive.check_bytes()
            manifest = archive.manifest
        _refuse_existing(out, force=force)
        draft.replace(out)
        restore.sync(out.parent)
    except OSError as error:
        raise InvalidInputError(f"cannot write {out}: {error.strerror}", field="FILE") from None
    finally:
        draft.unlink(missing_ok=True)
    return f"wrote {written:,} bytes to {out}: {in_words(manifest)}\ntokens are no part of it"


def check(file: Path) -> str:
    """Prove a backup, bytes and rows, and touch nothing; returns what it holds, in words.

    Raises InvalidInputError, NewerVersionError or DamagedBackupError.
    """
    with Archive(file) as archive:
        with Progress(sys.stderr, archive.manifest.rows) as progress:
            restore.verify(archive, progress.rows_done)
        return f"{file}: whole and sound; {in_words(archive.manifest)}"


def in_words(manifest: Manifest) -> str:
    """What a backup holds and since when."""
    return (
        f"{manifest.rows:,} rows of {len(manifest.tables)} tables, as they were at "
        f"{manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"schema {manifest.schema_version}, Perfhouse {manifest.perfhouse_version}"
    )


@contextmanager
def _source(settings: Settings) -> Iterator[tuple[Iterable[bytes], int | None]]:
    """The archive's bytes and how many rows it will hold: from the warehouse that runs, or from its file."""
    if not settings.database_file.exists():
        raise InvalidInputError(
            f"there is no warehouse in {settings.data_dir}",
            field="data_dir",
            hint="Name its configuration: perfhouse --config FILE backup ...",
        )
    with holding(settings) as alone:
        if alone:
            with _snapshot(settings) as snapshot:
                yield snapshot.archive(), snapshot.rows
        else:
            with (
                Client.for_process(settings, "cli", timeout_s=READ_TIMEOUT_S) as client,
                client.backup() as (blocks, rows),
            ):
                yield blocks, rows


@contextmanager
def _snapshot(settings: Settings) -> Iterator[Snapshot]:
    """The file of a warehouse that does not run, as it is: nothing in it is changed."""
    lease = Lease(store.read_only(settings.database_file, settings))
    try:
        yield Snapshot(lease)
    finally:
        lease.end()


@contextmanager
def _private(draft: Path) -> Iterator[BinaryIO]:
    """A new file for its owner alone, on the disk when this ends."""
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _copy(blocks: Iterable[bytes], out: BinaryIO, rows: int | None) -> int:
    follower = Follower()
    written = 0
    with Progress(sys.stderr, rows) as progress:
        for block in blocks:
            out.write(block)
            written += len(block)
            follower.feed(block)
            progress.tell(follower.rows, written)
    return written


def _refuse_existing(out: Path, *, force: bool) -> None:
    if out.is_dir():
        raise InvalidInputError(f"{out} is a directory", field="FILE", hint="Name a file.")
    if out.exists() and not force:
        raise InvalidInputError(f"{out} exists already", field="FILE", hint="Add --force to overwrite it.")
