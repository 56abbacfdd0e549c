"""The schedule: even starts, every run that did not happen is a gap, and clock steps stop nothing."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from apscheduler.executors import base as executors
from apscheduler.schedulers import base as schedulers
from hypothesis import given
from hypothesis import strategies as st

from collectors.jobs import distinct
from collectors.record import Row
from collectors.schedule import GridTrigger, Job, Schedule, spread
from tests.warehouse.records import attempt
from warehouse.model import Gap, GapReason

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Book:
    """Keeps what the schedule records and tells."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.runs: list[tuple[str, float | None, float, BaseException | None]] = []
        self.misses: Counter[str] = Counter()

    def record(self, rows: Iterable[Row]) -> None:
        self.rows += rows

    def ran(self, job: str, lag_s: float | None, run_s: float, error: BaseException | None) -> None:
        self.runs.append((job, lag_s, run_s, error))

    def missed(self, job: str, count: int) -> None:
        self.misses[job] += count

    def gaps(self, reason: GapReason) -> list[Gap]:
        return [row for row in self.rows if isinstance(row, Gap) and row.reason is reason]


class SteppingDatetime(datetime):
    """The wall clock that APScheduler and the schedule read, moved by `offset`."""

    offset = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + cls.offset


def counting(name: str, interval_s: float, runs: list[str]) -> Job:
    async def run() -> Sequence[Row]:
        runs.append(name)
        return []

    return Job(name, interval_s, run)


def serve(
    jobs: Sequence[Job], story: Callable[[Schedule, Book], Awaitable[None]], **options: Callable[[], datetime]
) -> Book:
    """Run a schedule while a story is told."""
    book = Book()

    async def main() -> None:
        schedule = Schedule(jobs, book.record, book, **options)
        schedule.start()
        await story(schedule, book)
        await schedule.stop(1.0)

    asyncio.run(asyncio.wait_for(main(), 60))
    return book


@given(st.lists(st.sampled_from([1.0, 2.0, 5.0, 10.0]), max_size=60))
def test_starts_are_even_over_each_interval(intervals: list[float]) -> None:
    offsets = spread(intervals)
    assert offsets == spread(intervals)
    for interval in set(intervals):
        mine = sorted(offset for offset, own in zip(offsets, intervals, strict=True) if own == interval)
        assert all(0 <= offset < interval for offset in mine)
        steps = {round(after - before, 9) for before, after in itertools.pairwise(mine)}
        assert steps <= {round(interval / len(mine), 9)}


def test_groups_of_jobs_do_not_start_together() -> None:
    offsets = spread([2.0, 10.0, 2.0, 10.0, 5.0])
    assert len({round(offset, 6) for offset in offsets}) == 5


@given(
    interval=st.floats(0.2, 86_400),
    behind=st.floats(-86_400, 40 * 86_400),
)
def test_the_next_run_is_on_the_grid_and_ahead(interval: float, behind: float) -> None:
    trigger = GridTrigger(timedelta(seconds=interval))
    now = EPOCH + timedelta(seconds=behind)
    following = trigger.get_next_fire_time(EPOCH, now)
    assert following > max(EPOCH, now)
    assert following - max(EPOCH, now) <= trigger.interval
    assert (following - EPOCH) % trigger.interval == timedelta()


def test_jobs_that_would_read_the_same_keep_apart() -> None:
    runs: list[str] = []
    jobs = distinct([counting(name, 1, runs) for name in ("probe a b", "host a", "probe a b", "probe a b")])
    assert [job.name for job in jobs] == ["probe a b", "host a", "2 probe a b", "3 probe a b"]


def test_runs_happen_at_their_interval_and_the_lag_is_told() -> None:
    runs: list[str] = []

    async def story(schedule: Schedule, book: Book) -> None:
        await asyncio.sleep(2.1)

    book = serve([counting("a", 0.25, runs), counting("b", 0.5, runs)], story)
    assert 7 <= runs.count("a") <= 9
    assert 3 <= runs.count("b") <= 5
    assert len(book.runs) == len(runs)
    assert all(lag is not None and 0 <= lag < 1 for _, lag, _, _ in book.runs)
    assert not book.rows


def test_a_run_that_lasts_longer_than_its_interval_is_an_overlap() -> None:
    started = []

    async def slow() -> Sequence[Row]:
        started.append(time.monotonic())
        await asyncio.sleep(1.25)
        return []

    async def story(schedule: Schedule, book: Book) -> None:
        await asyncio.sleep(3.0)

    book = serve([Job("slow", 0.5, slow)], story)
    assert 2 <= len(started) <= 3
    assert all(after - before >= 1.25 for before, after in itertools.pairwise(started))
    gaps = book.gaps(GapReason.OVERLAP)
    assert sum(gap.missed for gap in gaps) == book.misses["slow"]
    assert 2 <= sum(gap.missed for gap in gaps) <= 4
    assert not book.gaps(GapReason.MISSED)


def test_a_stalled_loop_is_told_as_missed_runs_with_their_count() -> None:
    runs: list[str] = []

    async def story(schedule: Schedule, book: Book) -> None:
        await asyncio.sleep(1.5)
        time.sleep(5.2)  # noqa: ASYNC251 - stalls the loop on purpose
        await asyncio.sleep(1.5)

    book = serve([counting("a", 1.0, runs)], story)
    gaps = book.gaps(GapReason.MISSED)
    missed = sum(gap.missed for gap in gaps)
    # 8.2 s at 1 s: every grid point is either a run or a counted miss.
    assert len(runs) + missed == 8
    assert missed >= 4
    assert book.misses["a"] == missed
    assert not book.gaps(GapReason.CLOCK_STEP)


def test_runs_shorter_apart_than_the_grace_are_counted_too() -> None:
    runs: list[str] = []

    async def story(schedule: Schedule, book: Book) -> None:
        await asyncio.sleep(0.55)
        time.sleep(0.8)  # noqa: ASYNC251 - stalls the loop on purpose
        await asyncio.sleep(0.55)

    book = serve([counting("a", 0.2, runs)], story)
    assert 2 <= book.misses["a"] <= 4
    assert 9 <= len(runs) + book.misses["a"] <= 10


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=30)])
def test_a_clock_step_stops_nothing(step: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(SteppingDatetime):
        offset = timedelta()

    monkeypatch.setattr(schedulers, "datetime", Clock)
    monkeypatch.setattr(executors, "datetime", Clock)
    calls = Counter[str]()
    following = GridTrigger.get_next_fire_time

    def counted(self: GridTrigger, previous: datetime | None, now: datetime) -> datetime:
        calls["next"] += 1
        return following(self, previous, now)

    monkeypatch.setattr(GridTrigger, "get_next_fire_time", counted)
    runs: list[str] = []
    after: list[str] = []

    async def story(schedule: Schedule, book: Book) -> None:
        await asyncio.sleep(1.0)
        runs.clear()
        calls.clear()
        Clock.offset = step
        await asyncio.sleep(1.2)
        after.extend(runs)
        assert calls["next"] <= 6 * (len(runs) + 6)
        await asyncio.sleep(1.0)

    jobs = [*(counting(f"job {number}", 0.5, runs) for number in range(4)), counting("long", 30.0, runs)]
    book = serve(jobs, story, wall=lambda: Clock.now(UTC))
    for number in range(4):
        assert after.count(f"job {number}") >= 1
        assert runs.count(f"job {number}") >= 3
    gaps = {gap.job: gap for gap in book.gaps(GapReason.CLOCK_STEP)}
    assert gaps["daemon"].missed == 1
    if step > timedelta():
        assert gaps["job 0"].missed == pytest.approx(step / timedelta(seconds=0.5), rel=0.01)
    else:
        assert set(gaps) == {"daemon"}
    assert not book.gaps(GapReason.MISSED)
    assert all(lag is None or lag < 1 for _, lag, _, _ in book.runs)


def test_the_wait_for_a_place_is_lag_and_no_part_of_the_run() -> None:
    async def waits() -> Sequence[Row]:
        await asyncio.sleep(0.4)
        row = attempt()
        await asyncio.sleep(0.1)
        return [row]

    async def story(schedule: Schedule, book: Book) -> None:
        await asyncio.sleep(2.2)

    book = serve([Job("probe shop GET /", 1.0, waits)], story)
    assert book.runs
    for _, lag_s, run_s, _ in book.runs:
        assert lag_s is not None
        assert lag_s >= 0.39
        assert run_s < 0.3


def test_a_job_that_raises_is_told_and_runs_again() -> None:
    async def broken() -> Sequence[Row]:
        raise ValueError("secret")

    async def story(schedule: Schedule, book: Book) -> None:
        await asyncio.sleep(1.1)

    book = serve([Job("broken", 0.25, broken)], story)
    assert len(book.runs) >= 3
    assert all(isinstance(error, ValueError) for _, _, _, error in book.runs)


def test_stopping_waits_for_runs_and_cuts_off_what_hangs() -> None:
    ended = []

    async def short() -> Sequence[Row]:
        await asyncio.sleep(0.3)
        ended.append("short")
        return [attempt()]

    async def hangs() -> Sequence[Row]:
        await asyncio.sleep(3600)
        ended.append("hangs")
        return []

    async def main() -> float:
        schedule = Schedule([Job("short", 0.4, short), Job("hangs", 0.4, hangs)], book.record, book)
        schedule.start()
        await asyncio.sleep(0.5)
        began = time.monotonic()
        await schedule.stop(1.0)
        return time.monotonic() - began

    book = Book()
    assert asyncio.run(main()) < 3
    assert "hangs" not in ended
    assert len([row for row in book.rows if not isinstance(row, Gap)]) == ended.count("short") >= 1


def test_loop_lag_is_seen() -> None:
    seen = []

    async def story(schedule: Schedule, book: Book) -> None:
        await asyncio.sleep(0.3)
        time.sleep(0.6)  # noqa: ASYNC251 - stalls the loop on purpose
        await asyncio.sleep(0.3)
        seen.extend([schedule.take_loop_lag(), schedule.take_loop_lag()])

    serve([], story)
    assert seen[0] >= 0.3
    assert seen[1] == 0
