"""What the client makes of answers: the frames that Polars itself would, and errors of what is none."""

import gzip
import itertools
import random
from collections.abc import Iterator

import httpx
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from warehouse.export import render
from warehouse.model import now
from warehouse.replies import frame_of, whole_body

NAMES = ["a", "b", None]


class Blocks(httpx.SyncByteStream):
    """A body that comes in these blocks."""

    def __init__(self, blocks: list[bytes]) -> None:
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._blocks


def table(rows: int) -> pa.Table:
    """Every type an answer has, with and without numbers for names."""
    return pa.table(
        {
            "at": pa.array([now()] * rows, pa.timestamp("ms", "UTC")),
            "name": pa.array([NAMES[row % 3] for row in range(rows)], pa.string()),
            "target": pa.array([NAMES[row % 3] for row in range(rows)]).dictionary_encode()
            if rows
            else pa.array([], pa.dictionary(pa.int32(), pa.string())),
            "none": pa.nulls(rows, pa.string()).dictionary_encode(),
            "share": pa.array([row / 3 for row in range(rows)], pa.float64()),
            "status": pa.array([row % 7 for row in range(rows)], pa.uint16()),
            "above": pa.array([row % 2 == 0 for row in range(rows)], pa.bool_()),
            "list": pa.array([[row] for row in range(rows)], pa.list_(pa.int64())),
        }
    )


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_an_answer_is_the_frame_that_it_says_with_names_in_full(rows: int) -> None:
    body = render("question", table(rows), "arrow")
    expected = pl.read_ipc_stream(bytes(body)).cast({pl.Categorical: pl.String})
    assert_frame_equal(frame_of(body), expected)
    assert frame_of(body).schema["target"] == pl.String


def test_a_damaged_answer_is_refused_or_read_but_crashes_nobody() -> None:
    body, chance = render("question", table(50), "arrow"), random.Random(5)
    refused = 0
    for _ in range(300):
        damaged = bytearray(body)
        damaged[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        try:
            frame_of(bytes(damaged))
        except (pa.ArrowException, OSError, UnicodeDecodeError, pl.exceptions.PolarsError):
            refused += 1
    assert refused


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_a_body_is_whole_however_it_is_cut_and_encoded(encoding: str | None) -> None:
    body = bytes(render("question", table(1000), "arrow"))
    sent = gzip.compress(body) if encoding else body
    headers = {"content-length": str(len(sent))} | ({"content-encoding": encoding} if encoding else {})
    cuts = [0, 1, 2, 700, len(sent) - 1, len(sent)]
    answer = httpx.Response(
        200, headers=headers, stream=Blocks([sent[a:b] for a, b in itertools.pairwise(cuts)])
    )
    assert whole_body(answer) == body
