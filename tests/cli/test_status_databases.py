"""`status` on the databases: each part that is not well is a problem, and no exit code 0."""

import json
from pathlib import Path

from cli.status import lines, look
from tests.cli.running import perfhouse
from tests.dashboard.worlds import send
from tests.servers.warehouse import running_warehouse
from tests.warehouse.records import database_state, minute_ago


def test_each_part_that_is_not_well_is_a_problem(tmp_path: Path) -> None:
    with running_warehouse(tmp_path) as process:
        with process.client("collect") as client:
            send(
                client,
                database_state(minute_ago(30), target="well"),
                database_state(minute_ago(30), target="well", part="histogram", state="not_measurable"),
                database_state(minute_ago(40), target="bare"),
                database_state(
                    minute_ago(30),
                    target="bare",
                    part="statements",
                    state="missing_extension",
                    text="not here",
                ),
                database_state(minute_ago(20), target="gone", state="down", text="nothing listens there"),
                database_state(minute_ago(900), target="silent", state="down", text="long ago"),
            )
        report = look(process.settings)
        told = [problem for problem in report["problems"] if "database" in problem]
        assert len(told) == 2
        assert any(
            "statements of database bare: missing extension since" in each and "(not here)" in each
            for each in told
        )
        assert any("connection of database gone: down since" in each for each in told)
        assert "databases  2 of 3 answer" in lines(report)
        done = perfhouse("status", "--json", config=process.config)
        assert done.returncode == 1
        assert {each["target"] for each in json.loads(done.stdout)["databases"]} == {"well", "bare", "gone"}
