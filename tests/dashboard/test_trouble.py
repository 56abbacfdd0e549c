"""What a page says of trouble: endpoints that fail, hosts at their limits, what was not measured."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import format as fmt
from dashboard import problems
from dashboard.resource_charts import BANDS
from tests.dashboard import worlds
from tests.dashboard.conftest import Open, texts
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from warehouse.model import Outcome, now


def test_an_endpoint_that_fails_says_since_when_and_what_to_do(tmp_path: Path, open_page: Open) -> None:
    present = now().replace(microsecond=0)
    with running_warehouse(tmp_path) as warehouse:
        with warehouse.client("collect") as client:
            worlds.states(client, present)
        app = open_page(warehouse, range="15m")
    assert not app.exception
    down = app.error[0].value.replace("\\", "").replace("\u2060", "")
    since = fmt.time_of(present - timedelta(seconds=35), present, ZoneInfo("Europe/Berlin"))
    assert "**shop GET /down** fails (refused)" in down
    assert f"since {since}" in down
    assert "4 of 8 recent attempts failed. Nothing listens there" in down
    assert "CPU is critical, 97 %" in down
    assert "memory" not in down
    assert app.error[0].proto.title == "2 problems"
    assert app.warning[0].proto.title == "1 warning"
    shaky = app.warning[0].value.replace("\\", "")
    assert "**shop GET /shaky** is flaky: 4 of 8 recent attempts failed." in shaky
    said = texts(app).replace("\\", "")
    assert "probably no longer configured: **shop GET /removed**" in said
    assert "1 endpoint failing" in said
    assert "1 endpoint flaky" in said
    assert "1/3 endpoints ok" in said


def shades(app: AppTest) -> list[str]:
    """Where the shaded spans of the first chart begin."""
    layout: Any = json.loads(app.get("plotly_chart")[0].proto.spec)["layout"]
    paths = "".join(shape.get("path", "") for shape in layout.get("shapes", []) if "fillcolor" in shape)
    return [begin.replace("_", "T") for begin in re.findall(r"M([^,]{19})[^,]*,0V1H", paths)]


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WarehouseProcess, datetime]]:
    present = now().replace(microsecond=0)
    with running_warehouse(tmp_path_factory.mktemp("hosts")) as warehouse:
        with warehouse.client("collect") as client:
            worlds.hosts(client, present)
        yield warehouse, present


def test_hosts_open_on_the_one_with_the_newest_samples(
    two_hosts: tuple[WarehouseProcess, datetime], open_page: Open
) -> None:
    app = open_page(two_hosts[0], "hosts", range="1h")
    assert app.selectbox[0].value == "zzz"
    assert not app.warning
    assert open_page(two_hosts[0], "hosts", range="1h", host="aaa").selectbox[0].value == "aaa"
    unknown = open_page(two_hosts[0], "hosts", range="1h", host="mistyped")
    assert unknown.selectbox[0].value == "zzz"
    assert unknown.warning[0].value == "No host is called mistyped, so this is zzz."


def test_a_host_without_swap_says_so_once(
    two_hosts: tuple[WarehouseProcess, datetime], open_page: Open
) -> None:
    said = texts(open_page(two_hosts[0], "hosts", range="1h"))
    assert "zzz: no swap" in said
    assert "This host has no swap." in said
    assert "0 B" not in said
    assert "Not measurable here" not in said


def test_only_the_gaps_of_what_is_drawn_are_shaded(
    two_hosts: tuple[WarehouseProcess, datetime], open_page: Open
) -> None:
    warehouse, present = two_hosts

    def begin(minutes: int) -> str:
        instant = (present - timedelta(minutes=minutes)).astimezone(ZoneInfo("Europe/Berlin"))
        return instant.strftime("%Y-%m-%dT%H:%M:%S")

    assert shades(open_page(warehouse, "hosts", range="15m")) == [begin(6)]
    assert shades(open_page(warehouse, "hosts", range="1h", host="aaa")) == [begin(8)]
    assert shades(open_page(warehouse, "latency", range="15m", endpoint="GET /b")) == [begin(2)]
    assert shades(open_page(warehouse, "latency", range="15m")) == [begin(4), begin(2)]
    assert shades(open_page(warehouse, range="15m")) == [begin(4), begin(2)]


def test_probes_that_did_not_happen_stand_beside_n(
    two_hosts: tuple[WarehouseProcess, datetime], open_page: Open
) -> None:
    app = open_page(two_hosts[0], range="15m")
    assert app.dataframe[0].value["n"].to_list() == ["8, 3 skipped"] * 2
    assert "due and not made" in texts(app)


def test_the_footer_tells_times_of_the_clock(
    two_hosts: tuple[WarehouseProcess, datetime], open_page: Open
) -> None:
    warehouse, present = two_hosts
    footer = open_page(warehouse, "hosts", range="15m").main.caption[-1].value
    zone = ZoneInfo("Europe/Berlin")
    sampled = fmt.time_of(present, now(), zone)
    assert f"host sample {sampled}" in footer
    assert f"probe {fmt.time_of(present - timedelta(seconds=9), now(), zone)}" in footer
    assert " as of " in footer
    assert " ago" not in footer


def test_every_way_to_fail_has_its_advice() -> None:
    ways = set(Outcome) - {Outcome.OK, Outcome.NOT_MEASURABLE}
    assert ways == set(problems.OUTCOME_ADVICE)
    assert set(problems.LOAD_ADVICE) == set(BANDS)


def test_a_resource_is_judged_by_all_its_samples() -> None:
    load = pl.DataFrame(
        {
            "host": ["box"] * 4,
            "object": [""] * 4,
            "metric": ["cpu_ratio", "cpu_ratio", "memory_used_ratio", "memory_used_ratio"],
            "n": [1, 9, 5, 0],
            "mean": [1.0, 0.5, 0.96, None],
        }
    )
    assert problems.means(load)["mean"].to_list() == pytest.approx([0.55, 0.96])
    (text,) = problems.of_hosts(load)
    assert "memory is critical, 96 %" in text
    assert problems.of_hosts(None) == problems.of_hosts(load.clear()) == []
