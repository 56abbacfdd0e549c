"""First stages: read once while nothing moves, read anew as soon as anything does, never mixed with it."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

import pyarrow as pa
import pytest

from tests.warehouse.records import attempt, sample
from tests.warehouse.test_rollups import naive, some_attempts
from tests.warehouse.test_tiered_questions import World
from warehouse import retention, rollups, staged
from warehouse.model import Attempt, Batch, Receipt, now
from warehouse.questions import QUESTIONS, attempt_pieces, sealed
from warehouse.questions.asking import Piece, Staged, Tables
from warehouse.questions.distribution import Heatmap
from warehouse.questions.hosts import HostTrend
from warehouse.questions.percentiles import EndpointSummary, PercentileTrend
from warehouse.questions.stages import Endpoints
from warehouse.reader import Reader
from warehouse.staged import MOST_PIECES, Standing
from warehouse.stand import Stand
from warehouse.store import Store
from warehouse.upkeep import Upkeep
from warehouse.writer import Writer

Put = Callable[[Batch], Receipt]

_numbers = count()


@pytest.fixture
def reader(store: Store) -> Reader:
    return Reader(store, deadline_s=30, row_cap=100_000, standing=Standing(store.stand))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pieces that were read from the file, in order."""
    inner, names = staged.found, []

    def found(connection: object, piece: Piece) -> pa.Table:
        names.append(piece.name)
        return inner(connection, piece)  # type: ignore[arg-type]

    monkeypatch.setattr(staged, "found", found)
    return names


@pytest.fixture
def end(put: Put, writer: Writer) -> datetime:
    """Now, with attempts of the last hours, most of them sealed."""
    end = now()
    send(put, [attempt(end - timedelta(minutes=minute), ms=5) for minute in range(600)])
    writer.submit(lambda held: rollups.build(held, naive(end))).result(30)
    return end


def send(put: Put, attempts: Iterable[Attempt]) -> None:
    put(Batch(batch_id=f"staged-{next(_numbers)}", attempts=tuple(attempts)))


def trend(reader: Reader, start: datetime, end: datetime) -> pa.Table:
    return reader.answer(QUESTIONS["percentile_trend"](PercentileTrend(start=start, end=end)))


def total(table: pa.Table) -> int:
    return sum(table["attempts"].to_pylist())


FIRST = ["chosen", "oldest", "tier", "dirty", "volume"]


def test_windows_that_follow_the_clock_share_what_stands(
    reader: Reader, read: list[str], end: datetime
) -> None:
    hours = timedelta(hours=8)
    trend(reader, end - hours, end)
    assert read[: len(FIRST)] == FIRST
    read.clear()
    for step in (2, 4):
        later = end + timedelta(milliseconds=step)
        told = trend(reader, later - hours, later)
        assert total(told) == 480
    assert read
    assert not set(read) & set(FIRST)


def test_batches_of_now_leave_it_standing(reader: Reader, read: list[str], put: Put, end: datetime) -> None:
    start = end - timedelta(hours=8)
    before = total(trend(reader, start, end))
    read.clear()
    send(put, [attempt(end - timedelta(seconds=1), ms=9)])
    assert total(trend(reader, start, end)) == before + 1
    assert not set(read) & set(FIRST)


@pytest.mark.parametrize("change", ["a late row", "a new endpoint", "work of the writer", "another file"])
def test_what_moves_it_has_it_read_anew(
    reader: Reader, read: list[str], put: Put, writer: Writer, store: Store, end: datetime, change: str
) -> None:
    start = end - timedelta(hours=8)
    before = total(trend(reader, start, end))
    read.clear()
    more = 0
    if change == "a late row":
        send(put, [attempt(end - timedelta(hours=3), ms=9)])
        more = 1
    elif change == "a new endpoint":
        send(put, [attempt(end - timedelta(seconds=1), endpoint="GET /new", ms=9)])
        more = 1
    elif change == "work of the writer":
        writer.submit(lambda _: None).result(30)
    else:
        store.reopen_for_reading()
    assert total(trend(reader, start, end)) == before + more
    assert read[: len(FIRST)] == FIRST


def test_a_change_between_two_stages_has_all_of_it_read_again(
    reader: Reader, put: Put, end: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = end - timedelta(hours=8)
    before = total(trend(reader, start, end))
    inner, late = staged.found, iter([attempt(end - timedelta(hours=3), ms=9)])

    def found(connection: object, piece: Piece) -> pa.Table:
        if piece.name not in FIRST:
            for each in late:
                send(put, [each])
        return inner(connection, piece)  # type: ignore[arg-type]

    monkeypatch.setattr(staged, "found", found)
    assert total(trend(reader, start, end)) == before + 1


def test_nothing_is_known_or_kept_while_anything_moves(
    reader: Reader, read: list[str], writer: Writer, end: datetime
) -> None:
    start = end - timedelta(hours=8)

    def work(_: object) -> None:
        for _turn in range(2):
            trend(reader, start, end)

    writer.submit(work).result(30)
    assert [name for name in read if name in FIRST] == FIRST * 2


def test_what_is_kept_is_bounded() -> None:
    stand = Stand()
    standing = Standing(stand)
    table = pa.table({"one": [1]})
    standing.keep(0, [(Piece(f"p{number}", f"SELECT {number}"), table) for number in range(MOST_PIECES + 9)])
    kept = [standing.find(Piece("", f"SELECT {number}")) for number in range(MOST_PIECES + 9)]
    assert sum(each is not None for each in kept) == MOST_PIECES
    stand.move()
    standing.keep(1, [(Piece("wide", "SELECT w"), pa.table({"w": range(staged.MOST_ROWS + 1)}))])
    assert standing.find(Piece("wide", "SELECT w")) is None
    assert standing.find(Piece("", "SELECT 1")) is None, "that was before"
    standing.keep(0, [(Piece("old", "SELECT 1"), table)])
    assert standing.find(Piece("old", "SELECT 1")) is None, "a slow question brings nothing back"


@pytest.mark.parametrize("merged", [True, False])
def test_histograms_of_sealed_days_are_merged_once_until_a_late_row(
    reader: Reader, read: list[str], store: Store, put: Put, writer: Writer, *, merged: bool
) -> None:
    end = now()
    start = (end - timedelta(days=5)).replace(hour=0, minute=0, second=0, microsecond=0)
    sent = some_attempts(random.Random(4), start, end, 400)
    send(put, sent)
    writer.submit(lambda held: rollups.build(held, naive(end))).result(30)
    plain = Reader(store, deadline_s=30, row_cap=100_000)

    def asked() -> bool:
        """Whether sealed histograms were read; the answer is what it is."""
        summary = EndpointSummary(start=start, end=now(), merged=merged)
        expected = plain.answer(QUESTIONS["latency_summary"](summary))
        read.clear()
        assert reader.answer(QUESTIONS["latency_summary"](summary)) == expected
        return any(name.startswith(sealed.SEALED) for name in read)

    assert [asked(), asked()] == [True, False]
    send(put, [sent[0].model_copy(update={"at": now()})])
    assert not asked()
    send(put, [sent[0].model_copy(update={"at": start + timedelta(hours=30)})])
    assert [asked(), asked()] == [True, False]
    writer.submit(lambda held: rollups.build(held, naive(end))).result(30)
    assert asked(), "its cells are others"


def two_days_edge() -> datetime:
    """The last midnight (UTC) that lies whole pairs of days behind the epoch."""
    at = now()
    return datetime.fromtimestamp(at.timestamp() // (2 * 86_400) * (2 * 86_400), UTC)


@pytest.mark.parametrize("merged", [True, False])
def test_a_window_that_moves_reads_anew_the_blocks_it_ends_in(
    reader: Reader,
    read: list[str],
    store: Store,
    put: Put,
    writer: Writer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    merged: bool,
) -> None:
    monkeypatch.setattr(sealed, "BLOCK", 2 * 86_400)
    end = two_days_edge()
    start = end - timedelta(days=20)
    send(put, some_attempts(random.Random(6), start, end, 400))
    writer.submit(lambda held: rollups.build(held, naive(end))).result(30)
    plain = Reader(store, deadline_s=30, row_cap=100_000)
    blocks = []
    for moved in (timedelta(0), timedelta(hours=31), timedelta(hours=31)):
        summary = EndpointSummary(start=start + moved, end=end - timedelta(days=2) + moved, merged=merged)
        expected = plain.answer(QUESTIONS["latency_summary"](summary))
        read.clear()
        assert reader.answer(QUESTIONS["latency_summary"](summary)) == expected
        blocks.append(sum(name.startswith(sealed.SEALED) for name in read))
    assert 9 <= blocks[0] <= 10
    assert blocks[1:] == [2, 0]


@pytest.mark.parametrize("merged", [True, False])
def test_a_trend_that_moves_merges_anew_only_blocks_it_did_not_touch_before(
    reader: Reader,
    read: list[str],
    store: Store,
    put: Put,
    writer: Writer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    merged: bool,
) -> None:
    monkeypatch.setattr(sealed, "BUCKETS", 2)
    end = two_days_edge()
    start = end - timedelta(days=20)
    sent = some_attempts(random.Random(8), start, end, 400)
    send(put, sent)
    upkeep = Upkeep(store, writer)
    upkeep.keep_up()
    plain = Reader(store, deadline_s=30, row_cap=100_000)
    blocks = []
    for moved in (0, 1, 1, 49):
        since, until = (at + timedelta(hours=moved) for at in (start, end - timedelta(days=4)))
        asked = QUESTIONS["percentile_trend"](
            PercentileTrend(start=since, end=until, buckets=10, merged=merged)
        )
        answer = plain.answer(asked)
        read.clear()
        assert reader.answer(asked) == answer
        assert set(answer["bucket_s"].to_pylist()) == {2 * 86_400}
        blocks.append(sum(name.startswith(attempt_pieces.BLOCK) for name in read))
    assert 4 <= blocks[0] <= 5
    assert blocks[1:3] == [0, 0], "blocks are read whole"
    assert blocks[3] <= 1
    answers = []
    send(put, [sent[0].model_copy(update={"at": start + timedelta(days=9)})])
    for makes_good in (lambda: None, upkeep.keep_up):
        makes_good()
        read.clear()
        answers.append(plain.answer(asked))
        every = sum(name.startswith(attempt_pieces.BLOCK) for name in read)
        read.clear()
        assert reader.answer(asked) == answers[-1]
        again = sum(name.startswith(attempt_pieces.BLOCK) for name in read)
        assert 1 <= again < every, "none before the late row"
    assert total(answers[0]) == total(answers[1]) == total(answer) + 1


def _noting(noted: list[Tables], join: Callable[[Tables], pa.Table], tables: Tables) -> pa.Table:
    noted.append(tables)
    return join(tables)


@pytest.mark.parametrize("seed", range(3))
def test_trends_in_blocks_are_those_of_single_buckets(
    reader: Reader, store: Store, put: Put, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(sealed, "BUCKETS", 4)
    world = World(put, store, seed)
    plain = Reader(store, deadline_s=30, row_cap=100_000)
    endpoints = sorted({each.endpoint for each in world.sent})
    in_blocks = 0
    for _ in range(25):
        start, end = world.window()
        chosen = tuple(world.chance.sample(endpoints, world.chance.choice((0, 1, 2))))
        buckets, merged = world.chance.choice((9, 60, 300)), world.chance.random() < 0.4
        asked = QUESTIONS["percentile_trend"](
            PercentileTrend(start=start, end=end, buckets=buckets, merged=merged, endpoint=chosen)
        )
        assert isinstance(asked, Staged)
        tables: list[Tables] = []
        answer = reader.answer(replace(asked, join=partial(_noting, tables, asked.join)))
        in_blocks += sum(name.startswith(attempt_pieces.BLOCK) for name in tables[-1])
        with monkeypatch.context() as patch:
            patch.setattr(sealed, "blocks_of", lambda *_, **__: ())
            assert answer.to_pylist() == plain.answer(asked).to_pylist()
    assert in_blocks > 25


@pytest.mark.parametrize("most_series", [0, 500])
def test_a_short_window_is_answered_however_long_its_block_is(
    store: Store, put: Put, writer: Writer, monkeypatch: pytest.MonkeyPatch, most_series: int
) -> None:
    monkeypatch.setattr(sealed, "MOST_SERIES", most_series)
    end = two_days_edge()
    every = range(0, 24 * 60, 5)
    sent = [
        attempt(end - timedelta(minutes=minute), endpoint=f"GET /{n}") for minute in every for n in range(15)
    ]
    send(put, sent)
    writer.submit(lambda held: rollups.build(held, naive(now()))).result(30)
    strict = Reader(store, deadline_s=30, row_cap=100, standing=Standing(store.stand))
    for back in range(60, 400, 20):
        since = end - timedelta(minutes=back)
        asked = PercentileTrend(start=since, end=since + timedelta(minutes=20), buckets=5)
        assert strict.answer(QUESTIONS["percentile_trend"](asked)).num_rows == 4 * 15


def test_kept_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = Standing(Stand())
    monkeypatch.setattr(staged, "MOST_BYTES", 100)
    pieces = [Piece(f"p{number}", f"SELECT {number}") for number in range(3)]
    standing.keep(0, [(piece, pa.table({"one": [1] * 5})) for piece in pieces[:2]])
    assert standing.find(pieces[0]) is not None
    standing.keep(0, [(pieces[2], pa.table({"one": [1] * 5}))])
    found = [standing.find(piece) is not None for piece in pieces]
    assert found == [True, False, True], "the one that was not asked for went"


def test_what_lies_before_a_change_is_known_on() -> None:
    stand, day = Stand(), naive(now()).replace(hour=0)
    standing, table = Standing(stand), pa.table({"one": [1]})
    old, all_of_it = Piece("old", "SELECT 1", until=day), Piece("all", "SELECT 2")
    standing.keep(0, [(old, table), (all_of_it, table)])
    stand.move(day)
    assert (standing.find(old), standing.find(all_of_it)) == (table, None)
    stand.move(day - timedelta(days=1))
    assert standing.find(old) is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_answers_are_those_of_a_reader_that_knows_nothing(
    seed: int, reader: Reader, store: Store, put: Put, writer: Writer
) -> None:
    chance, end = random.Random(seed), now()
    start = end - timedelta(days=9)
    plain = Reader(store, deadline_s=30, row_cap=100_000)
    send(put, some_attempts(chance, start, end, 400))
    changes: list[Callable[[], object]] = [
        lambda: send(put, some_attempts(chance, start, end, 5)),
        lambda: send(put, [attempt(now(), ms=3)]),
        lambda: put(Batch(batch_id=f"staged-{next(_numbers)}", samples=(sample(now(), chance.random()),))),
        lambda: writer.submit(lambda held: rollups.build(held, naive(now()))).result(30),
        lambda: writer.submit(
            lambda held: retention.expire(held, naive(now()), chance.randrange(2, 9))
        ).result(30),
    ]
    for _ in range(25):
        chance.choice(changes)()
        length = timedelta(minutes=chance.choice((7, 60, 1440, 9000)))
        until = end - timedelta(minutes=chance.choice((0, 0, 61, 3000)))
        window = {"start": until - length, "end": until}
        for name, model, more in (
            ("percentile_trend", PercentileTrend, {}),
            ("percentile_trend", PercentileTrend, {"merged": True, "buckets": 5}),
            ("latency_summary", EndpointSummary, {}),
            ("latency_summary", EndpointSummary, {"merged": True}),
            ("latency_heatmap", Heatmap, {"buckets": 9}),
            ("endpoint_states", Endpoints, {}),
            ("host_trend", HostTrend, {}),
        ):
            asked = model(**window, **more)
            assert reader.answer(QUESTIONS[name](asked)) == plain.answer(QUESTIONS[name](asked)), (
                name,
                window,
            )
