"""What is made of MySQL 8's rows, as its manual shows them: no MySQL 8 is at hand."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.mysql import numbers as mysql_numbers
from collectors.mysql.collector import replica_lags
from collectors.mysql.digests import histogram_growth
from collectors.mysql.numbers import METRICS, Growth, Own
from collectors.mysql.statements import Statements
from collectors.numbers import Numbers
from tests.collectors.databases import numbers, unmeasured
from warehouse.model import QueryStat

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SINCE = AT - timedelta(seconds=10)
NEVER = 18_446_744_073_709_551_615
"""What MySQL gives as the upper bound of its last bucket."""


def test_growth_is_told_in_microseconds_and_only_where_there_is_some() -> None:
    before = [(0, 10_000_000, 5), (10_000_000, 10_471_285, 7), (10_471_285, NEVER, 1)]
    after = [(0, 10_000_000, 5), (10_000_000, 10_471_285, 10), (10_471_285, NEVER, 2)]
    rows = histogram_growth(before, after, SINCE, AT, "main")
    assert [(row.low_us, row.high_us, row.calls) for row in rows] == [
        (10.0, 10.471285, 3),
        (10.471285, None, 1),
    ]
    assert {(row.method, row.since, row.at) for row in rows} == {("server_histogram", SINCE, AT)}


def test_a_truncated_histogram_tells_nothing_of_its_interval() -> None:
    before = [(0, 10, 5), (10, NEVER, 7)]
    assert histogram_growth(before, [(0, 10, 9), (10, NEVER, 0)], SINCE, AT, "main") == []
    assert histogram_growth(None, before, SINCE, AT, "main") == []


def test_a_histogram_of_other_buckets_is_not_compared() -> None:
    before = [(0, 10, 5), (10, NEVER, 7)]
    assert histogram_growth(before, [(0, 20, 9), (20, NEVER, 9)], SINCE, AT, "main") == []


STARTED = datetime(2026, 11, 24, 11, 0, 0, 123456)  # noqa: DTZ001 - the server tells it without an offset
SECOND = 10**12
"""In picoseconds."""


def digest(name: str, calls: int, total_s: float, first_seen: datetime = STARTED) -> tuple[Any, ...]:
    """A row of events_statements_summary_by_digest."""
    total = int(total_s * SECOND)
    return ("shop", name, calls, total, SECOND // 100, SECOND // 10, calls, 0, 0, 0, first_seen)


class Server:
    """Answers what is asked of the digest table, and remembers since when rows were wanted."""

    def __init__(self) -> None:
        self.clock = STARTED + timedelta(hours=1)
        self.digests: list[tuple[Any, ...]] = []
        self.asked_since: list[datetime | None] = []

    def rows(self, statement: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        if "digest_text" in statement:
            assert parameters is not None
            return [("shop", name, f"SELECT `{name}` FROM `t` WHERE `id` = ?") for name in parameters[0]]
        if "count(*)" in statement:
            return [(self.clock, len(self.digests), min((row[-1] for row in self.digests), default=None))]
        self.asked_since.append(parameters[0] if parameters else None)
        return self.digests


def take(statements: Statements, server: Server) -> list[QueryStat]:
    server.clock += timedelta(seconds=10)
    return statements.take(server, AT)  # type: ignore[arg-type]  # stands in for a session


def test_only_digests_seen_since_the_last_look_are_read_and_all_after_the_clock_went_back() -> None:
    server, statements = Server(), Statements("main")
    server.digests = [digest("a", 5, 1.0), digest("b", 7, 1.0)]
    assert take(statements, server) == []
    first_look = server.clock
    server.digests = [digest("a", 8, 1.5)]
    server.digests += [digest("b", 7, 1.0)]
    (stat,) = take(statements, server)
    assert (stat.calls, stat.total_us, stat.max_us, stat.ceiling_us) == (3, 500_000, None, 100_000)
    server.digests[0] = digest("a", 10, 1.54)
    (stat,) = take(statements, server)
    assert stat.ceiling_us == pytest.approx(40_000)
    server.clock -= timedelta(hours=1)
    assert take(statements, server) == []
    assert server.asked_since[:2] == [None, first_look - timedelta(seconds=2)]
    assert [since is None for since in server.asked_since] == [True, False, False, True]


def test_a_table_that_was_emptied_is_told_even_where_no_digest_came_back() -> None:
    server, statements = Server(), Statements("main")
    server.digests = [digest("a", 5, 1.0)]
    take(statements, server)
    server.digests = [digest("c", 2, 0.1, STARTED + timedelta(hours=1))]
    (stat,) = take(statements, server)
    assert (stat.calls, stat.is_partial, statements.was_reset) == (2, True, True)
    server.digests = []
    assert take(statements, server) == []
    assert statements.was_reset


def test_counters_that_overtook_themselves_within_a_second_are_told_from_nothing() -> None:
    server, statements = Server(), Statements("main")
    server.digests = [digest("old", 1, 0.1, STARTED - timedelta(hours=1)), digest("a", 5, 1.0)]
    take(statements, server)
    server.digests = [digest("a", 8, 2.0), digest("new", 1, 0.1), digest("newer", 1, 0.1)]
    calls = [stat.calls for stat in take(statements, server)]
    assert sorted(calls) == [1, 1, 8]


def test_a_reset_between_two_readings_of_one_look_is_no_growth() -> None:
    server, statements = Server(), Statements("main")
    server.digests = [digest("a", 5, 1.0)]
    take(statements, server)
    emptied = [digest("a", 3, 0.5, STARTED + timedelta(hours=1))]
    answer, asked = server.rows, []

    def rows(statement: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        found = answer(statement, parameters)
        asked.append(statement)
        if len(asked) == 2:
            server.digests = emptied
        return found

    server.rows = rows  # type: ignore[method-assign]
    server.digests = [digest("a", 50, 9.0)]
    (stat,) = take(statements, server)
    assert (stat.calls, stat.is_partial) == (3, True)
    assert take(statements, server) == []


def test_texts_beyond_what_is_read_at_once_are_told_as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.mysql.statements.MOST_TEXTS", 2)
    server, statements = Server(), Statements("main")
    take(statements, server)
    server.digests = [digest(name, calls, 1.0) for name, calls in (("a", 1), ("b", 3), ("c", 2))]
    stats = take(statements, server)
    assert sorted((stat.shape == "other", stat.calls) for stat in stats) == [
        (False, 2),
        (False, 3),
        (True, 1),
    ]
    assert {stat.shape for stat in stats} - {"other"} == {row.shape for row in statements.shapes(AT)}
    server.digests = [digest(name, calls, 2.0) for name, calls in (("a", 2), ("b", 4), ("c", 3))]
    assert "other" not in {stat.shape for stat in take(statements, server)}


STATUS = {
    "Questions": 1000.0,
    "Com_commit": 10.0,
    "Com_rollback": 2.0,
    "Uptime": 500.0,
    "Innodb_buffer_pool_read_requests": 8000.0,
    "Innodb_buffer_pool_reads": 50.0,
    "Created_tmp_disk_tables": 4.0,
    "Aborted_connects": 1.0,
    "Uptime_since_flush_status": 500.0,
}


NOTHING = Own()


class Looks:
    """Looks at a server's status, ten seconds apart."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._growth = Growth()
        self._now_s = 1000.0
        monkeypatch.setattr("collectors.readings.time.monotonic", lambda: self._now_s)

    def read(self, deadlocks: float | None = None, own: Own = NOTHING, **grown: float) -> list[Any]:
        """The samples; `grown` is added to the status."""
        self._now_s += 10
        told = Numbers("main", METRICS, AT)
        status = {name: value + grown.get(name, 0) for name, value in STATUS.items()}
        self._growth.read(status, deadlocks, own, told)
        return list(told.samples)


def test_rates_and_shares_are_those_of_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch)
    assert set(numbers(looks.read(deadlocks=3, own=Own(40, 6, 1)))) == {"statistics_resets_total"}
    told = looks.read(
        deadlocks=5,
        own=Own(47, 8, 1),
        Created_tmp_disk_tables=5,
        Questions=107,
        Com_commit=30,
        Com_rollback=10,
        Innodb_buffer_pool_read_requests=200,
        Innodb_buffer_pool_reads=50,
        Uptime=10,
        Uptime_since_flush_status=10,
    )
    assert numbers(told) == {
        "queries_per_s": 10,
        "transactions_per_s": 4,
        "rollbacks_per_s": 1,
        "cache_hit_ratio": 0.75,
        "blocks_read_per_s": 5,
        "deadlocks_total": 2,
        "temp_disk_tables_total": 3,
        "aborted_connects_total": 0,
        "statistics_resets_total": 0,
    }


def test_without_traffic_there_is_no_share_and_without_a_count_no_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch)
    looks.read()
    told = looks.read(Uptime=10, Uptime_since_flush_status=10)
    assert "cache_hit_ratio" not in numbers(told)
    assert unmeasured(told) == {"deadlocks_total"}


@pytest.mark.parametrize("grown", [{"Uptime": -490}, {"Uptime": 2}, {"Uptime_since_flush_status": -400}])
def test_counters_that_overtook_themselves_after_a_restart_are_not_compared(
    monkeypatch: pytest.MonkeyPatch, grown: dict[str, float]
) -> None:
    looks = Looks(monkeypatch)
    looks.read()
    more = dict.fromkeys(("Questions", "Com_commit", "Innodb_buffer_pool_read_requests"), 90_000.0)
    told = looks.read(**{"Uptime": 10.0, "Uptime_since_flush_status": 10.0, **more, **grown})
    assert numbers(told) == {"statistics_resets_total": 1}
    assert mysql_numbers.LATE_S < 10


def test_replicas_tell_how_far_behind_they_are_by_either_name() -> None:
    assert replica_lags([{"Seconds_Behind_Source": 3}, {"Seconds_Behind_Master": "7"}]) == [3, 7]
    assert replica_lags([{"Seconds_Behind_Source": None, "Replica_IO_Running": "No"}]) == [None]
    assert replica_lags([]) == []
