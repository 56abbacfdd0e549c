"""A run travels in one file and compares the same anywhere; files made to harm are refused in words."""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtests import bundle
from loadtests.compare import compared
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import TARGETS, beats, finish, launch, lines, rows, start
from warehouse.client import Client
from warehouse.errors import InvalidInputError

PRESET = """
[[preset]]
name = "steady"
users = 2
duration_s = 44
criteria = ["p95 < 500ms"]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("runs"), TARGETS + PRESET) as process:
        yield process


@pytest.fixture(scope="module")
def runs(served: WarehouseProcess) -> tuple[str, str]:
    """Two ended runs, the second one slower and with failures."""
    return ran(served, 20, 1), ran(served, 26, 2, failing=0.05)


def ran(served: WarehouseProcess, median_ms: float, seed: int, failing: float = 0.0) -> str:
    random = np.random.default_rng(seed)
    times = [float(each) for each in np.round(median_ms * np.exp(random.normal(0, 0.3, 2200)), 3)]
    outcomes = ["timeout" if each < failing else "ok" for each in random.uniform(size=2200)]
    run_id = launch(served, "steady")
    with served.client("agent") as agent:
        began = start(agent, run_id)
        made = rows(began, times, every_ms=20, endpoint=np.arange(2200) % 2, outcome=outcomes)
        agent.send_rows(run_id, 0, "requests-0.bin", 0, made.tobytes())
        agent.send_events(run_id, 0, "events-0.jsonl", 0, lines(*beats(began, [0.2] * 44)))
        finish(agent, run_id, began, 44)
    return run_id


@pytest.fixture(scope="module")
def files(
    served: WarehouseProcess, runs: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    made = (folder / "a.zip", folder / "b.zip")
    with served.client("cli") as client:
        for run_id, file in zip(runs, made, strict=True):
            assert bundle.write(client, run_id, file) == file.stat().st_size
    return made


def no_client() -> Client:
    raise AssertionError("two bundles need no warehouse")


def test_bundles_compare_as_the_warehouse_does(
    served: WarehouseProcess, runs: tuple[str, str], files: tuple[Path, Path]
) -> None:
    here = compared(*map(str, files), no_client)
    there = compared(*runs, lambda: served.client("cli"))
    assert len(here) == 3 * 7
    for one, other in zip(here, there, strict=True):
        assert {name: value for name, value in one.items() if isinstance(value, str)} == {
            name: value for name, value in other.items() if isinstance(value, str)
        }
        for name in ("a", "b", "difference", "low", "high", "n_a", "n_b"):
            same = other[name] if other[name] is None else pytest.approx(other[name], rel=1e-9)
            assert one[name] == same, (one["label"], one["measure"], name)


def test_a_bundle_and_a_run_compare_too(
    served: WarehouseProcess, runs: tuple[str, str], files: tuple[Path, Path]
) -> None:
    mixed = compared(str(files[0]), runs[1], lambda: served.client("cli"))
    assert mixed == compared(*map(str, files), no_client)


def test_a_bundle_holds_all_of_the_run(runs: tuple[str, str], files: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(files[0]) as archive:
        told = json.loads(archive.read("run.json"))
        assert sorted(archive.namelist()) == sorted(bundle.MEMBERS)
        requests = pq.read_table(archive.open("requests.parquet"))
        assert pq.read_table(archive.open("seconds.parquet")).num_rows == 44
        assert pq.read_table(archive.open("endpoints.parquet")).num_rows == 2
    assert (told["run_id"], told["state"], told["preset"]) == (runs[0], "finished", "steady")
    assert told["plan"]["target"] == "shop"
    assert told["plateaus"] == [{"from_s": 4.0, "to_s": 44.0, "users": 2}]
    assert requests.num_rows == 2200
    assert {"start_us", "wait_us", "service_us", "status", "outcome", "bytes"} <= set(requests.column_names)


def test_a_run_that_is_not_there_or_runs_is_no_bundle(served: WarehouseProcess, tmp_path: Path) -> None:
    waiting = launch(served)
    with served.client("cli") as client:
        for run_id, words in ((waiting, "has not ended"), ("r20260101000000-abcdef", "there is no run")):
            with pytest.raises(InvalidInputError, match=words):
                bundle.write(client, run_id, tmp_path / "none.zip")
        client.cancel_run(waiting)
    assert list(tmp_path.iterdir()) == []


Members = dict[str, bytes]


def members(file: Path) -> Members:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed(run: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(run), **fields}).encode()


def parquet(own: bytes, change: Callable[[pa.Table], pa.Table]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(change(pq.read_table(pa.BufferReader(own))), sink)
    return sink.getvalue().to_pybytes()


def replaced(name: str, values: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        column = pa.array([values] * table.num_rows) if not isinstance(values, pa.Array) else values
        return table.set_column(table.column_names.index(name), name, column)

    return change


def without(name: str) -> Callable[[Members], Members]:
    return lambda own: {key: value for key, value in own.items() if key != name}


def run_with(**fields: Any) -> Callable[[Members], Members]:
    return lambda own: {**own, "run.json": changed(own["run.json"], **fields)}


def requests_with(change: Callable[[pa.Table], pa.Table]) -> Callable[[Members], Members]:
    return lambda own: {**own, "requests.parquet": parquet(own["requests.parquet"], change)}


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda own: {**own, "../../etc/passwd": b"x"}, "holds '../../etc/passwd', which no bundle does"),
        (lambda own: {**own, "/tmp/x": b"x"}, "holds '/tmp/x'"),
        (without("seconds.parquet"), "holds no seconds.parquet"),
        (without("run.json"), "holds no run.json"),
        (lambda own: {**own, "run.json": b"{" * 100_000}, "run.json: it: Invalid JSON"),
        (lambda own: {**own, "run.json": b" " * 8_000_001}, "run.json is larger than"),
        (lambda own: {**own, "run.json": b"[]"}, "run.json: it: "),
        (run_with(format=2), "of format 2, and this Perfhouse reads up to 1"),
        (run_with(length_s="NaN"), "run.json: length_s"),
        (run_with(plateaus=[{"from_s": 0, "to_s": 1e300, "users": 2}]), "run.json: plateaus.0.to_s"),
        (run_with(plan="x"), "run.json: plan"),
        (
            run_with(plan={"order": "", "think_s": [], "arrivals": "", "requests": [5]}),
            "run.json: plan.requests.0: ",
        ),
        (
            lambda own: {**own, "requests.parquet": b"PAR1" + bytes(100) + b"PAR1"},
            "requests.parquet cannot be read",
        ),
        (requests_with(lambda table: table.drop_columns(["outcome"])), "no column outcome"),
        (requests_with(replaced("corrected_us", "x")), "expected corrected_us of int64, it is of string"),
        (requests_with(replaced("corrected_us", -1)), "corrected_us is no duration"),
        (requests_with(replaced("corrected_us", 2**62)), "corrected_us is no duration"),
        (requests_with(replaced("elapsed_s", float("nan"))), "elapsed_s is no time within a run"),
        (requests_with(replaced("elapsed_s", float("inf"))), "elapsed_s is no time within a run"),
        (requests_with(replaced("label", pa.nulls(2200, pa.string()))), "label is empty in some rows"),
    ],
)
def test_files_made_to_harm_are_refused_in_words(
    harm: Callable[[Members], Members], words: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "harm.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in harm(members(files[0])).items():
            archive.writestr(name, content)
    with pytest.raises(InvalidInputError) as refused:
        bundle.read(file)
    assert words in refused.value.message
    assert refused.value.message.startswith(f"{file} is no bundle that can be read: ")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that says how large it is, and one that lies about it."""
    monkeypatch.setattr(bundle, "MOST_TABLE_BYTES", 1_000_000)
    own = members(files[0])
    honest = tmp_path / "honest.zip"
    with zipfile.ZipFile(honest, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**own, "requests.parquet": bytes(50_000_000)}.items():
            archive.writestr(name, content)
    assert honest.stat().st_size < 1_000_000
    with pytest.raises(InvalidInputError, match=r"requests\.parquet is larger than 1,000,000 bytes"):
        bundle.read(honest)
    lying = tmp_path / "lying.zip"
    lying.write_bytes(
        honest.read_bytes().replace((50_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    )
    with pytest.raises(InvalidInputError, match="is no bundle that can be read"):
        bundle.read(lying)


def test_many_rows_of_nothing_are_refused(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MOST_ROWS", 2199)
    with pytest.raises(InvalidInputError, match="holds more than 2,199 requests"):
        bundle.read(files[0])
    file = tmp_path / "text.zip"
    file.write_text("no zip")
    with pytest.raises(InvalidInputError, match="it is no sound zip file"):
        bundle.read(file)


def test_a_flipped_bit_never_crashes_the_reader(files: tuple[Path, Path], tmp_path: Path) -> None:
    whole = bytearray(files[0].read_bytes())
    random = np.random.default_rng(5)
    file = tmp_path / "flipped.zip"
    refused = 0
    for place in random.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(0, 8))
        file.write_bytes(damaged)
        try:
            bundle.read(file)
        except InvalidInputError:
            refused += 1
    assert refused > 0
