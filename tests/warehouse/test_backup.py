"""Backup and restore of a file at rest: every row comes back, and what is damaged is refused."""

import hashlib
import io
import json
import math
import random
import subprocess
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from tests.servers.warehouse import write_config
from tests.warehouse.records import attempt, sample
from warehouse import archive as archive_module
from warehouse import backup, offline, restore, schema
from warehouse.archive import Archive, Follower
from warehouse.backup import Snapshot, hash_of, sequences_of, tables_of
from warehouse.errors import DamagedBackupError, NewerVersionError, StorageError
from warehouse.leases import Lease
from warehouse.model import Batch, Receipt
from warehouse.rowhash import row_hash
from warehouse.settings import Settings, load
from warehouse.store import Store

Rows = dict[str, Counter[str]]

INTEGERS = {
    "TINYINT": (-(2**7), 2**7 - 1),
    "SMALLINT": (-(2**15), 2**15 - 1),
    "INTEGER": (-(2**31), 2**31 - 1),
    "BIGINT": (-(2**63), 2**63 - 1),
    "UTINYINT": (0, 2**8 - 1),
    "USMALLINT": (0, 2**16 - 1),
    "UINTEGER": (0, 2**32 - 1),
    "UBIGINT": (0, 2**64 - 1),
}
TEXTS = st.sampled_from(
    ["", "-", "|", "a|b", "\0", "é中\U0001f4a5", "NULL", "1:x", "\r\n'\"\\", "=1+1", "x" * 5000]
)


def values_of(kind: str) -> st.SearchStrategy[Any]:
    """Values of a column's type, its extremes often among them."""
    if kind in INTEGERS:
        low, high = INTEGERS[kind]
        return st.sampled_from([low, high, 0]) | st.integers(low, high)
    if kind.startswith("ENUM"):
        return st.sampled_from(kind[6:-2].split("', '"))
    if kind == "TIMESTAMP_MS":
        texts = st.datetimes().map(lambda at: at.isoformat(sep=" ", timespec="milliseconds"))
        return st.sampled_from(["1970-01-01", "infinity", "-infinity"]) | texts
    known: dict[str, st.SearchStrategy[Any]] = {
        "TIMESTAMP": st.datetimes().map(lambda at: at.isoformat(sep=" ", timespec="microseconds")),
        "VARCHAR": TEXTS | st.text(max_size=20),
        "DOUBLE": st.sampled_from([-0.0, 5e-324, 1.7e308, float("inf"), float("nan")]) | st.floats(),
        "FLOAT": st.floats(width=32),
        "BOOLEAN": st.booleans(),
        "BLOB": st.binary(max_size=50),
        "DATE": st.dates().map(str),
    }
    return known[kind]


def rows_of(columns: dict[str, tuple[str, bool]]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Rows for a table's columns, each with its type and whether it may be NULL."""
    each = [values_of(kind) if full else st.none() | values_of(kind) for kind, full in columns.values()]
    return st.lists(st.tuples(*each), max_size=4)


def columns_of(store: Store) -> dict[str, dict[str, tuple[str, bool]]]:
    """Every table's columns with type and NOT NULL, but for the record of migrations."""
    needed = {
        (table, column)
        for table, column in store.cursor()
        .execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT is_nullable AND NOT internal"
        )
        .fetchall()
    }
    return {
        table: {name: (kind, (table, name) in needed) for name, kind in columns.items()}
        for table, columns in tables_of(store.cursor()).items()
        if table != "migration"
    }


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    store = Store(settings)
    try:
        yield store
    finally:
        store.close()


def contents(store: Store) -> Rows:
    """Every row of every table, as text and as often as it is there."""
    cursor = store.cursor()
    return {
        table: Counter(map(repr, cursor.execute(f'SELECT * FROM "{table}"').fetchall()))
        for table in tables_of(cursor)
    }


def hashes(store: Store) -> dict[str, int]:
    cursor = store.cursor()
    return {table: hash_of(cursor, table, columns) for table, columns in tables_of(cursor).items()}


def take(store: Store, file: Path) -> Path:
    """A backup of the open store."""
    lease = Lease(store.cursor())
    file.write_bytes(b"".join(Snapshot(lease).archive()))
    lease.end()
    return file


def restored(file: Path, folder: Path) -> Settings:
    """An empty data directory into which the backup was restored."""
    folder.mkdir()
    settings = load(write_config(folder), {})
    with Archive(file) as archive, offline.holding(settings) as alone:
        assert alone
        restore.build(archive, settings)
        assert offline.put(settings) is None
    return settings


def insert(store: Store, table: str, rows: list[tuple[Any, ...]]) -> None:
    """Rows that a key keeps out are left out."""
    cursor = store.cursor()
    for row in rows:
        with suppress(duckdb.ConstraintException):
            cursor.execute(f'INSERT INTO "{table}" VALUES ({", ".join("?" for _ in row)})', row)


@pytest.fixture
def filled(store: Store, put: Callable[[Batch], Receipt]) -> Store:
    """A store with two batches."""
    put(Batch(batch_id="batch-one", attempts=(attempt(), attempt(ms=None)), samples=(sample(),)))
    put(Batch(batch_id="batch-two", attempts=(attempt(ms=5.5, endpoint="GET /é'\"|"),)))
    return store


@bounds(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_every_value_of_every_table_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("from")
    with opened(load(write_config(folder), {})) as store:
        for table, columns in columns_of(store).items():
            insert(store, table, data.draw(rows_of(columns), label=table))
        before, hashed = contents(store), hashes(store)
        file = take(store, folder / "backup")
    with Archive(file) as archive:
        restore.verify(archive)
    with opened(restored(file, folder / "to")) as again:
        assert contents(again) == before
        assert hashes(again) == hashed


def test_numbers_go_on_after_the_highest_and_rows_stay_joined(filled: Store, tmp_path: Path) -> None:
    joined = "SELECT object, total_us FROM attempt JOIN series USING (series_id) ORDER BY ALL"
    rows = filled.cursor().execute(joined).fetchall()
    last = sequences_of(filled.cursor())
    assert last["series_number"] >= 3
    with opened(restored(take(filled, tmp_path / "b"), tmp_path / "to")) as again:
        assert again.cursor().execute(joined).fetchall() == rows
        assert sequences_of(again.cursor()) == last
        next_number = again.cursor().execute("SELECT nextval('series_number')").fetchall()[0][0]
    assert next_number == last["series_number"] + 1


def test_a_backup_is_of_one_instant_whatever_is_stored_meanwhile(
    filled: Store, put: Callable[[Batch], Receipt], tmp_path: Path
) -> None:
    before = contents(filled)
    lease = Lease(filled.cursor())
    blocks = Snapshot(lease).archive()
    content = [next(blocks)]
    for number in range(20):
        put(Batch(batch_id=f"late-batch-{number}", attempts=(attempt(endpoint=f"GET /{number}"),)))
        filled.cursor().execute("CHECKPOINT")
    filled.cursor().execute("DELETE FROM gap")
    content += blocks
    lease.end()
    (tmp_path / "b").write_bytes(b"".join(content))
    with opened(restored(tmp_path / "b", tmp_path / "to")) as again:
        assert contents(again) == before


def test_rows_come_in_parts_in_storage_order_and_the_follower_counts_them(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "ROWS_PER_PART", 20_000)
    store.cursor().execute(
        "INSERT INTO gap SELECT '2026-01-01', '2026-01-02', 's', 'j', 'missed', i FROM range(90_000) r(i)"
    )
    lease = Lease(store.cursor())
    snapshot = Snapshot(lease)
    follower = Follower()
    whole = b""
    for block in snapshot.archive():
        whole += block
        follower.feed(block)
    lease.end()
    assert follower.rows == snapshot.rows == 90_000 + store.schema_version
    slow = Follower()
    for start in range(0, len(whole), 700):
        slow.feed(whole[start : start + 700])
    assert slow.rows == snapshot.rows
    (tmp_path / "b").write_bytes(whole)
    with Archive(tmp_path / "b") as archive:
        parts = archive.manifest.tables["gap"].parts
        assert len(parts) >= 4
        numbers = [
            number
            for part in parts
            for number in pyarrow.parquet.read_table(io.BytesIO(archive.read(part)))["missed"].to_pylist()
        ]
    assert numbers == list(range(90_000))
    with opened(restored(tmp_path / "b", tmp_path / "to")) as again:
        assert again.cursor().execute("SELECT missed FROM gap").fetchall() == [(i,) for i in range(90_000)]


def test_tar_and_sha256sum_find_it_whole_and_nothing_secret_is_in_it(filled: Store, tmp_path: Path) -> None:
    file = take(filled, tmp_path / "backup.tar")
    into = tmp_path / "unpacked"
    into.mkdir()
    subprocess.run(["tar", "xf", file, "-C", into], check=True)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], check=True, cwd=into, capture_output=True
    )
    with tarfile.open(file) as tar:
        assert {entry.mode for entry in tar} == {0o600}
    manifest = json.loads((into / "manifest.json").read_text())
    assert set(manifest["tables"]) == set(tables_of(filled.cursor()))
    assert not list(into.rglob("*token*"))


def test_an_older_backup_is_migrated_after_it_was_proved(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = take(filled, tmp_path / "b")
    rows = filled.cursor().execute("SELECT count(*) FROM attempt").fetchall()
    newest = schema.migrations()[-1][0]
    newer = [
        *schema.migrations(),
        (9000, "9000_note", "ALTER TABLE attempt ADD COLUMN note VARCHAR DEFAULT 'n'"),
    ]
    monkeypatch.setattr(schema, "migrations", lambda *_: newer)
    with opened(restored(file, tmp_path / "to")) as again:
        cursor = again.cursor()
        assert cursor.execute("SELECT count(note) FROM attempt").fetchall() == rows
        versions = cursor.execute("SELECT version FROM migration ORDER BY 1").fetchall()
    assert [version for (version,) in versions] == [*range(1, newest + 1), 9000]


def test_a_backup_of_a_newer_schema_is_refused_naming_both(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    filled.cursor().execute("INSERT INTO migration VALUES (9000, 'future', '9.8.7', now()::TIMESTAMP)")
    monkeypatch.setattr(backup, "VERSION", "9.8.7")
    file = take(filled, tmp_path / "b")
    names = sorted(path.name for path in settings.data_dir.iterdir())
    with Archive(file) as archive, pytest.raises(NewerVersionError) as refused:
        restore.build(archive, settings)
    for word in ("9000", "9.8.7", str(filled.schema_version)):
        assert word in refused.value.message
    assert sorted(path.name for path in settings.data_dir.iterdir()) == names


def test_a_backup_of_a_newer_format_is_refused(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "FORMAT", 2)
    with pytest.raises(NewerVersionError, match="format 2"):
        Archive(take(filled, tmp_path / "b"))


def is_refused(file: Path) -> bool:
    try:
        with Archive(file) as archive:
            archive.check_bytes()
    except (DamagedBackupError, NewerVersionError):
        return True
    return False


def test_every_flipped_bit_is_found(filled: Store, tmp_path: Path) -> None:
    """One bit in each byte of the first header and of the end, and in a thousand bytes between."""
    chance = random.Random(20261124)
    whole = take(filled, tmp_path / "b").read_bytes()
    bad = tmp_path / "bad"
    ends = {*range(512), *range(len(whole) - 1024, len(whole), 16)}
    for at in sorted(ends | set(chance.sample(range(len(whole)), 1000))):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        bad.write_bytes(damaged)
        assert is_refused(bad), f"the flip at byte {at} was not found"


def test_a_truncated_or_lengthened_archive_is_refused(filled: Store, tmp_path: Path) -> None:
    whole = take(filled, tmp_path / "b").read_bytes()
    bad = tmp_path / "bad"
    for content in [*(whole[:length] for length in range(0, len(whole), 499)), whole[:-1], whole + b"\0"]:
        bad.write_bytes(content)
        with pytest.raises(DamagedBackupError):
            Archive(bad)


def test_the_damaged_part_is_named_and_nothing_is_left(filled: Store, tmp_path: Path) -> None:
    whole = bytearray(take(filled, tmp_path / "b").read_bytes())
    whole[whole.index(b"PAR1", whole.index(b"sample/00001")) + 20] ^= 8
    (tmp_path / "bad").write_bytes(whole)
    (tmp_path / "to").mkdir()
    settings = load(write_config(tmp_path / "to"), {})
    with (
        Archive(tmp_path / "bad") as archive,
        offline.holding(settings),
        pytest.raises(DamagedBackupError, match=r"sample/00001-1\.parquet"),
    ):
        restore.build(archive, settings)
    assert not list(settings.data_dir.glob("*.duckdb*"))


@pytest.mark.parametrize("edit", ["hash", "rows"])
def test_rows_other_than_the_warehouse_held_are_refused_though_every_digest_fits(
    filled: Store, tmp_path: Path, edit: str, settings: Settings
) -> None:
    """What nobody damaged by chance: a table replaced together with its digests."""
    file = take(filled, tmp_path / "b")
    with Archive(file) as archive:
        manifest = archive.manifest
        content = {part.name: archive.read(part) for part in manifest.parts()}
    table = manifest.tables["attempt"]
    if edit == "hash":
        changed = table.model_copy(update={"row_hash": str(int(table.row_hash) + 1)})
    else:
        rows = pyarrow.parquet.read_table(io.BytesIO(content[table.parts[0].name]))
        sink = io.BytesIO()
        pyarrow.parquet.write_table(rows.slice(0, 2), sink)
        name = table.parts[0].name
        content[name] = sink.getvalue()
        part = table.parts[0].model_copy(
            update={"size": len(content[name]), "sha256": hashlib.sha256(content[name]).hexdigest()}
        )
        changed = table.model_copy(update={"parts": (part,)})
    forged = manifest.model_copy(update={"tables": {**manifest.tables, "attempt": changed}})
    packer = archive_module.Packer(manifest.taken_at)
    blocks = [block for name, each in content.items() for block in packer.add(name, memoryview(each))]
    (tmp_path / "forged").write_bytes(b"".join([*blocks, *packer.finish(forged)]))
    with Archive(tmp_path / "forged") as archive:
        archive.check_bytes()
        with pytest.raises(DamagedBackupError, match="table attempt holds"):
            restore.verify(archive)
        with pytest.raises(DamagedBackupError, match="table attempt holds"):
            restore.build(archive, settings)


def test_tables_other_than_the_schema_has_are_refused(
    filled: Store, tmp_path: Path, settings: Settings
) -> None:
    filled.cursor().execute("ALTER TABLE gap ADD COLUMN foreign_note VARCHAR")
    with Archive(take(filled, tmp_path / "b")) as archive, pytest.raises(DamagedBackupError, match="tables"):
        restore.build(archive, settings)


def test_a_type_that_parquet_cannot_hold_exactly_is_refused_not_bent(store: Store) -> None:
    store.cursor().execute("CREATE TABLE wide (n HUGEINT)")
    lease = Lease(store.cursor())
    with pytest.raises(StorageError, match=r"wide\.n is HUGEINT"):
        Snapshot(lease)
    lease.end()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("('a|b', 'c')", "('a', 'b|c')"),
        ("('-', 'x')", "(NULL, 'x')"),
        ("('1:a', '')", "('', '1:a')"),
        ("('a', 'b'), ('a', 'b')", "('c', 'd'), ('c', 'd')"),
        ("('a', 'b')", "('b', 'a')"),
    ],
)
def test_the_row_hash_tells_rows_apart(one: str, other: str) -> None:
    hashed = row_hash({"x": "VARCHAR", "y": "VARCHAR"})
    with duckdb.connect() as connection:
        sums = {
            connection.execute(f"SELECT {hashed} FROM (VALUES {rows}) AS t(x, y)").fetchall()[0][0]
            for rows in (one, other)
        }
    assert len(sums) == 2


def test_the_row_hash_is_that_of_the_documentation() -> None:
    """The last half of MD5, summed: any program can compute it, now and later."""
    rows = [(7, "é|", None, 1.5, True), (-7, "", "x", -0.0, False)]
    texts = ["7|3:é||-|1.5|true", "-7|0:|1:x|-0.0|false"]
    expected = sum(int.from_bytes(hashlib.md5(text.encode()).digest()[8:], "little") for text in texts)
    columns = {"a": "INTEGER", "b": "VARCHAR", "c": "VARCHAR", "d": "DOUBLE", "e": "BOOLEAN"}
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({', '.join(' '.join(column) for column in columns.items())})")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
        assert hash_of(connection, "t", columns) == expected


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT"])
def test_the_sign_of_nan_is_no_part_of_the_row_hash(kind: str) -> None:
    """DuckDB packs NaN of either sign as one constant, by which the second sign is lost."""
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t (x {kind})")
        connection.execute("INSERT INTO t VALUES (?)", [-math.nan])
        negative = hash_of(connection, "t", {"x": kind})
        connection.execute("UPDATE t SET x = ?", [math.nan])
        assert negative == hash_of(connection, "t", {"x": kind}) != 0


def test_what_is_replaced_is_kept_whole(filled: Store, tmp_path: Path, settings: Settings) -> None:
    file = take(filled, tmp_path / "b")
    filled.cursor().execute("DELETE FROM attempt")
    before = contents(filled)
    filled.close()
    with Archive(file) as archive, offline.holding(settings):
        assert offline.held_rows(settings) == sum(
            sum(rows.values()) for name, rows in before.items() if name != "migration"
        )
        restore.build(archive, settings)
        kept = offline.put(settings)
    assert kept is not None
    assert kept.stat().st_mode & 0o777 == 0o600
    with opened(settings) as again:
        assert sum(contents(again)["attempt"].values()) == 3
    kept.replace(settings.database_file)
    with opened(settings) as old:
        assert contents(old) == before
    filled.__init__(settings)  # type: ignore[misc] # the fixture closes it once more


def test_a_present_file_that_cannot_be_read_is_moved_aside_as_it_is(
    filled: Store, tmp_path: Path, settings: Settings
) -> None:
    file = take(filled, tmp_path / "b")
    before = contents(filled)
    filled.close()
    damaged = b"no database" * 1000
    settings.database_file.write_bytes(damaged)
    with Archive(file) as archive, offline.holding(settings):
        assert offline.held_rows(settings) is None
        restore.build(archive, settings)
        kept = offline.put(settings)
    assert kept is not None
    assert kept.read_bytes() == damaged
    filled.__init__(settings)  # type: ignore[misc] # the fixture closes it once more
    assert contents(filled) == before


def test_a_link_that_a_killed_restore_left_is_forgotten(
    filled: Store, tmp_path: Path, settings: Settings
) -> None:
    file = take(filled, tmp_path / "b")
    filled.close()
    left = settings.data_dir / "warehouse-replaced-20200101T000000Z.duckdb"
    left.hardlink_to(settings.database_file)
    with Archive(file) as archive, offline.holding(settings):
        restore.build(archive, settings)
        kept = offline.put(settings)
    assert not left.exists()
    assert kept is not None
    assert kept.stat().st_nlink == 1
    filled.__init__(settings)  # type: ignore[misc] # the fixture closes it once more


def test_instants_of_backups_are_utc(filled: Store, tmp_path: Path) -> None:
    with Archive(take(filled, tmp_path / "b")) as archive:
        taken_at = archive.manifest.taken_at
    assert taken_at.tzinfo is not None
    assert timedelta() <= datetime.now(UTC) - taken_at < timedelta(minutes=5)
