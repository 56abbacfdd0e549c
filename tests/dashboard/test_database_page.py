"""The Database page: states first, numbers that equal the truth, queries that open, blockers named."""

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.window import absolute
from tests.dashboard import database_worlds
from tests.dashboard.conftest import Open, Worlds, texts
from tests.servers.warehouse import WarehouseProcess
from warehouse.model import now

World = Callable[[str], WarehouseProcess]


def test_states_problems_and_what_to_do_come_first(world: World, open_page: Open) -> None:
    said = texts(open_page(world("failing"), "database", database="bare"))
    assert "CREATE EXTENSION pg_stat_statements" in said
    assert "extension missing" in said
    assert "connections are critical, 56 of 57 usable" in said
    down = texts(open_page(world("failing"), "database", database="main"))
    assert "server down since" in down
    assert "start the server" in down
    overview = texts(open_page(world("failing")))
    assert "server down" in overview
    assert "wrong password" in overview


def test_cards_say_where_numbers_come_from(world: World, open_page: Open) -> None:
    app = open_page(world("plenty"), "database", database="main", range="1h", prev="1")
    cards = {metric.label.partition(" · ")[0]: metric for metric in app.metric}
    assert cards["Connections"].value.endswith("of 57 usable")
    assert "%" in cards["Cache hit ratio"].value
    p95 = next(metric for metric in app.metric if metric.label.startswith("Query p95"))
    assert p95.label.split(" · ")[1] in ("pass", "fail", "undetermined")
    assert p95.proto.delta_description.startswith("pg_stat_activity, n = ")
    assert "at most 43 ms apart" in p95.help
    said = texts(app)
    assert "bracket from pg" in said.replace("\\", "")
    assert "In the window before" in said


def test_each_engine_has_its_own_panels(world: World, open_page: Open) -> None:
    redis = open_page(world("plenty"), "database", database="cache", range="1h")
    said = texts(redis)
    assert "Latency of our own PING" in said
    assert "Slow queries" not in said
    assert "Locks" not in said
    mysql = texts(open_page(world("plenty"), "database", database="orders", range="1h"))
    assert "Slow queries" in mysql
    assert "uses no index" in str(
        [element.value for element in open_page(world("plenty"), "database", database="orders").dataframe]
    )


def test_slow_queries_are_those_of_the_warehouse(world: World, open_page: Open) -> None:
    warehouse = world("plenty")
    app = open_page(warehouse, "database", database="main", range="1h", by="mean")
    shown = next(element.value for element in app.dataframe if "share" in element.value.columns)
    with warehouse.client("dashboard") as client:
        end = now()
        truth = client.ask("slow_queries", start=end - timedelta(hours=1), end=end, target="main", by="mean")
    expected = [" ".join(query.split()) for query in truth["query"]]
    assert [text.removeprefix("◐ ") for text in shown["query"]] == expected
    assert "invoice" in shown["query"][0]


def test_a_shape_in_the_address_opens_with_its_whole_text(world: World, open_page: Open) -> None:
    app = open_page(world("plenty"), "database", database="main", range="1h", shape="b2@shop", prev="1")
    assert not app.exception
    assert app.code[0].value == database_worlds.SHAPES["b2"][1]
    assert any(metric.label == "Share of load" for metric in app.metric)
    gone = open_page(world("plenty"), "database", database="main", range="1h", shape="nothing@shop")
    assert "was not called in this window" in texts(gone)


def test_new_and_vanished_queries_are_told(world: Worlds, open_page: Open) -> None:
    plenty, end = world("plenty"), world.filled_at["plenty"]
    hour = absolute(end - timedelta(hours=1), end)
    assert "New since" in texts(open_page(plenty, "database", database="main", range="1h", since="1h"))
    assert changed(open_page(plenty, "database", database="main", range=hour))["New"] == 1
    since = (end - timedelta(minutes=20)).strftime("%Y%m%dT%H%M%SZ")
    app = open_page(plenty, "database", database="main", range=hour, since=since)
    assert changed(app) == {"New": 1, "Vanished": 1}


def changed(app: AppTest) -> dict[str, int]:
    """How many queries the page tells new and vanished, by its headings."""
    said = (re.fullmatch(r"(\w+) since .*: (\d+)", element.value) for element in app.subheader)
    return {found[1]: int(found[2]) for found in said if found}


def test_the_blocker_is_named(world: World, open_page: Open) -> None:
    warehouse = world("plenty")
    with warehouse.client("collect") as client:
        database_worlds.send_all(client, database_worlds._locks(now()))
    said = texts(open_page(warehouse, "database", database="main", range="1h"))
    assert "blocks **3 sessions**" in said
    assert "psql" in said


def test_the_page_says_how_to_watch_a_database(world: World, open_page: Open) -> None:
    app = open_page(world("one_sample"), "database")
    assert "No query statistics in this window" in texts(app)


@pytest.mark.parametrize("page", ["database", "overview"])
def test_hostile_names_stay_text(world: World, open_page: Open, page: str) -> None:
    app = open_page(world("hostile"), page, database=database_worlds.HOSTILE)
    assert not app.exception
    for element in app.get("plotly_chart"):
        assert "<b>bold" not in json.dumps(json.loads(element.proto.spec))
