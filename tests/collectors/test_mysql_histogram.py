"""MySQL 8's histogram of all statements, on rows as its manual shows them: no MySQL 8 is at hand."""

from datetime import UTC, datetime, timedelta

from collectors.mysql.statements import histogram_growth

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
