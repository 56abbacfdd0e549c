"""Kept answers: given again only while nothing changed that they are made of, and at most so many bytes."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest

from tests.warehouse.records import attempt, sample
from tests.warehouse.test_rollups import naive
from warehouse import answers, checks, rollups, tiers, wire
from warehouse.answers import Answer, Answers
from warehouse.api import create_app
from warehouse.api_questions import query_of
from warehouse.model import Batch, Receipt, now
from warehouse.questions import QUESTIONS
from warehouse.questions.asking import Staged
from warehouse.reader import Reader
from warehouse.replies import frame_of, token_in
from warehouse.rollups import Alone
from warehouse.service import Warehouse
from warehouse.settings import Settings
from warehouse.stand import ENDLESS, EVER, MOST_MOVES, Stand
from warehouse.store import Store
from warehouse.tiers import ATTEMPT
from warehouse.upkeep import Upkeep
from warehouse.writer import Writer

Put = Callable[[Batch], Receipt]
Give = Callable[..., Answer]

_numbers = count()
HOURS = 5


class Watched(Reader):
    """Counts what it is asked."""

    asked = 0

    def answer(self, *given: Any) -> Any:
        self.asked += 1
        return super().answer(*given)


@pytest.fixture
def reader(store: Store) -> Watched:
    return Watched(store, deadline_s=30, row_cap=100_000)


@pytest.fixture
def give(store: Store, reader: Watched) -> Give:
    """Ask as the API does."""
    kept = Answers(store, reader)

    def give(name: str = "percentile_trend", **parameters: object) -> Answer:
        question = QUESTIONS[name]
        asked = _model(name).model_validate(parameters)
        return kept.give(name, question, asked, "arrow")

    return give


def _model(name: str) -> Any:
    """The parameters of a question as a route takes them."""
    return query_of(QUESTIONS[name], first=(int | None, None)).__origin__


@pytest.fixture
def at(put: Put, writer: Writer) -> datetime:
    """A whole hour that is sealed, with the next ones: attempts every minute until now."""
    end = now().replace(second=0, microsecond=0)
    start = (end - timedelta(hours=HOURS)).replace(minute=0)
    send(put, [attempt(start + timedelta(minutes=minute), ms=5) for minute in range(60 * HOURS)])
    seal(writer)
    return start


class Through(Alone):
    """Writes through the writer, as upkeep does."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @contextmanager
    def reading(self) -> Iterator[Any]:
        yield self._writer.submit(lambda held: held.cursor(), ENDLESS).result(30)

    def write(self, work: Callable[[Any], Any], since: datetime = EVER) -> Any:
        return self._writer.submit(work, since).result(30)


def send(put: Put, attempts: Any = (), **more: Any) -> None:
    put(Batch(batch_id=f"answers-{next(_numbers)}", attempts=tuple(attempts), **more))


def seal(writer: Writer) -> None:
    writer.submit(lambda held: rollups.build(held, now().replace(tzinfo=None))).result(30)


def attempts_in(given: Answer) -> int:
    return int(frame_of(given.body)["attempts"].sum())


def window(at: datetime, hours: int = 2) -> dict[str, datetime]:
    return {"start": at, "end": at + timedelta(hours=hours)}


def test_the_same_question_about_sealed_time_is_answered_once(
    give: Give, reader: Watched, at: datetime
) -> None:
    first, second = give(**window(at)), give(**window(at))
    assert (first.was_kept, second.was_kept) == (False, True)
    assert first.body == second.body
    assert attempts_in(second) == 120
    assert reader.asked == 1
    assert not give(**window(at), merged=True).was_kept, "it is another question"
    assert reader.asked == 2


def test_a_late_row_counts_at_once(give: Give, put: Put, at: datetime) -> None:
    give(**window(at))
    send(put, [attempt(at + timedelta(minutes=7, seconds=3), ms=9)])
    given = give(**window(at))
    assert (given.was_kept, attempts_in(given)) == (False, 121)
    assert give(**window(at)).was_kept


def test_rows_of_now_leave_what_is_sealed_as_it_stands(give: Give, put: Put, at: datetime) -> None:
    give(**window(at))
    send(put, [attempt(now(), ms=9)])
    send(put, samples=(sample(now(), 0.5),))  # a series of its own, so that the stand moves once
    give(**window(at))
    send(put, [attempt(now(), ms=9)])
    send(put, samples=(sample(now(), 0.25),))
    assert give(**window(at)).was_kept


def test_upkeep_ends_only_what_it_changes(
    give: Give, put: Put, store: Store, writer: Writer, at: datetime
) -> None:
    give(**window(at))
    upkeep = Upkeep(store, writer)
    before = store.stand.number
    for _ in range(3):
        upkeep.keep_up()
    assert store.stand.number == before, "there was nothing to do"
    assert give(**window(at)).was_kept
    until = tiers.read(store.cursor(), ATTEMPT).sealing_until
    assert until is not None
    end = until.replace(tzinfo=UTC)
    give(start=at, end=end)
    send(put, [attempt(end + timedelta(minutes=minute), ms=4) for minute in range(10)])
    rollups.keep_up(Through(writer), until + timedelta(minutes=6))
    assert store.stand.number > before
    assert give(start=at, end=end).was_kept, "it ended with an hour, before what was sealed"
    assert not give(start=at, end=end + timedelta(minutes=5)).was_kept
    assert give(start=at, end=end + timedelta(minutes=5)).was_kept
    rollups.keep_up(Through(writer), until + timedelta(minutes=11))
    assert not give(start=at, end=end + timedelta(minutes=5)).was_kept, "its last hour went on"
    assert give(start=at, end=end).was_kept


def test_a_late_row_leaves_days_before_it(give: Give, put: Put, writer: Writer, at: datetime) -> None:
    old = (at - timedelta(days=3)).replace(hour=0)
    send(put, [attempt(old + timedelta(hours=hour), ms=5) for hour in range(1, 40)])
    seal(writer)
    give(**window(old, 24))
    give(**window(old, 25))
    send(put, [attempt(old + timedelta(hours=26), ms=7)])
    assert give(**window(old, 24)).was_kept
    assert not give(**window(old, 25)).was_kept, "it ended on the day of the row"
    seal(writer)
    send(put, [attempt(old + timedelta(hours=2), ms=7)])
    given = give(**window(old, 24))
    assert (given.was_kept, attempts_in(given)) == (False, 24)


def test_many_changes_are_told_together_and_never_too_few() -> None:
    stand = Stand()
    start = naive(now())
    for hour in range(3 * MOST_MOVES):
        stand.move(start + timedelta(hours=hour))
    assert stand.unchanged_until(stand.number) == ENDLESS
    assert stand.unchanged_until(stand.number - 1) == start + timedelta(hours=3 * MOST_MOVES - 1)
    assert stand.unchanged_until(0) == start
    for number in range(stand.number):
        assert stand.unchanged_until(number) <= start + timedelta(hours=number)
    stand.move()
    assert stand.unchanged_until(stand.number - 1) == EVER


def test_a_new_series_is_in_the_next_answer(give: Give, put: Put, at: datetime, store: Store) -> None:
    give(**window(at))
    before = store.stand.number
    send(put, [attempt(now(), endpoint="GET /new", ms=9)])
    assert store.stand.number > before
    assert not give(**window(at)).was_kept


def test_open_time_is_never_kept(give: Give, put: Put, at: datetime) -> None:
    end = now()
    for number in range(3):
        send(put, [attempt(end - timedelta(seconds=5 + number), ms=1)])
        given = give(start=at, end=end)
        assert not given.was_kept
        assert attempts_in(given) == 60 * HOURS - _after(at, end) + number + 1


def _after(at: datetime, end: datetime) -> int:
    """How many of the fixture's attempts lie after the end."""
    return sum(at + timedelta(minutes=minute) >= end for minute in range(60 * HOURS))


def test_whatever_else_the_writer_does_ends_what_is_kept(give: Give, writer: Writer, at: datetime) -> None:
    give(**window(at))
    writer.submit(lambda held: held.execute("DELETE FROM attempt_cell_1h")).result(30)
    assert not give(**window(at)).was_kept


def test_another_file_ends_what_is_kept(give: Give, store: Store, at: datetime) -> None:
    give(**window(at))
    store.reopen_for_reading()
    assert not give(**window(at)).was_kept


def test_what_changes_while_it_is_read_is_not_kept(
    give: Give, reader: Watched, put: Put, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Reader.answer

    def answer(self: Reader, *given: Any) -> Any:
        table = inner(self, *given)
        send(put, [attempt(at + timedelta(minutes=1, seconds=1), ms=1)])
        return table

    with monkeypatch.context() as patched:
        patched.setattr(Watched, "answer", answer)
        assert attempts_in(give(**window(at))) == 120
    given = give(**window(at))
    assert (given.was_kept, attempts_in(given)) == (False, 121)


def test_what_is_committed_but_not_told_yet_is_not_kept_for_long(
    give: Give, writer: Writer, store: Store, at: datetime
) -> None:
    """An answer that is made while a change is under way goes when the change has ended."""
    seen: list[bool] = []

    def work(_: object) -> None:
        give(**window(at))
        seen.append(give(**window(at)).was_kept)

    writer.submit(work).result(30)
    assert seen == [True]
    assert not give(**window(at)).was_kept


def test_kept_bytes_are_bounded_and_the_oldest_go_first(
    give: Give, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(give(**window(at)).body)
    monkeypatch.setattr(answers, "MOST_BYTES", int(size * 2.5))
    give(**window(at), merged=True)
    assert give(**window(at)).was_kept
    give(**window(at + timedelta(hours=1)))
    assert give(**window(at)).was_kept
    assert not give(**window(at), merged=True).was_kept, "it was asked for longest ago"
    monkeypatch.setattr(answers, "LARGEST", size - 1)
    give(start=at, end=at + timedelta(hours=3))
    assert not give(start=at, end=at + timedelta(hours=3)).was_kept, "it is too large"


@pytest.mark.parametrize("name", answers.OF_ATTEMPTS)
def test_kept_questions_read_attempts_and_their_cells_alone(name: str, store: Store, at: datetime) -> None:
    read: set[str] = set()
    for start in (at - timedelta(minutes=7), at - timedelta(days=40)):
        statement = QUESTIONS[name](
            _model(name).model_validate({"start": start, "end": at + timedelta(minutes=91)})
        )
        assert isinstance(statement, Staged)
        connection = store.cursor()
        tables = {}
        for piece in statement.first:
            tables[piece.name] = connection.sql(piece.sql, params=dict(piece.values)).to_arrow_table()
        for piece in [*statement.first, *statement.then(tables)]:
            read |= set(re.findall(r"(?:FROM|JOIN)\s+([a-z_0-9]+)", piece.sql))
    allowed = {"series", "tier", "dirty", "attempt", "chosen"}
    assert {table for table in read if not table.startswith("attempt_cell_")} <= allowed


@pytest.mark.parametrize("name", ["attempts", "audit_log", "latency_summary"])
def test_other_questions_are_asked_anew(name: str, store: Store, reader: Watched, at: datetime) -> None:
    kept = Answers(store, reader)
    values = window(at) if "start" in _model(name).model_fields else {}
    asked = _model(name).model_validate(values)
    for _ in range(2):
        kept.give(name, QUESTIONS[name], asked, "arrow")
    assert reader.asked == 2


def test_an_answer_says_whether_it_was_kept(settings: Settings) -> None:
    end = now().replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(hours=2)
    warehouse = Warehouse(settings)
    batch = Batch(
        batch_id="answers-over-http",
        attempts=tuple(attempt(start + timedelta(minutes=minute), ms=3) for minute in range(121)),
    )
    batch_id, tables = wire.unpack_arrow(batch.batch_id, wire.pack(batch))
    warehouse.writer.ingest(checks.check(batch_id, "local", tables, now())).result(30)
    seal(warehouse.writer)
    asked = {"start": start.isoformat(), "end": (end - timedelta(minutes=30)).isoformat()}
    headers = {"authorization": f"Bearer {token_in(settings.token_dir / 'dashboard.json')}"}

    async def twice() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(warehouse))
        async with httpx.AsyncClient(transport=transport, base_url=settings.warehouse.url) as client:
            ask = "/api/v1/ask/percentile_trend"
            return [await client.get(ask, params=asked, headers=headers) for _ in range(2)]

    first, second = asyncio.run(twice())
    warehouse.close()
    assert (first.headers.get(answers.HEADER), second.headers.get(answers.HEADER)) == (None, "true")
    assert first.json() == second.json()
