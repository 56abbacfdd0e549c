"""The API latency page tells how many attempts kept the limit of their endpoint."""

from datetime import timedelta
from pathlib import Path

from tests.dashboard.conftest import Open, texts
from tests.dashboard.test_loadtests import tables
from tests.dashboard.worlds import send
from tests.servers.warehouse import running_warehouse
from tests.warehouse.records import attempt
from warehouse.model import now

CONFIG = """
[[target]]
name = "shop"
url = "http://127.0.0.1:9"
{objective}
[[target.endpoint]]
path = "/"
[[target.endpoint]]
path = "/cart"
"""


def test_the_table_tells_the_share_within_each_objective(tmp_path: Path, open_page: Open) -> None:
    config = CONFIG.format(objective="") + "objective_ms = 50\n"
    with running_warehouse(tmp_path, config) as served:
        with served.client("collect") as client:
            at = now() - timedelta(minutes=10)
            cart = [attempt(at + timedelta(seconds=n), ms=n, endpoint="GET /cart") for n in range(1, 101)]
            send(client, *cart, attempt(at, ms=None, endpoint="GET /cart"), attempt(at))
        app = open_page(served, "latency")
        assert not app.exception
        shown = tables(app)["objective"].set_index("endpoint")["objective"]
        assert shown["GET /cart"] == "49.50 % in 50 ms (51 above)"
        assert shown["GET /"] == ""
        assert "Within objective" in texts(app)


def test_without_an_objective_nothing_is_said_of_it(tmp_path: Path, open_page: Open) -> None:
    with running_warehouse(tmp_path, CONFIG.format(objective="")) as served:
        with served.client("collect") as client:
            send(client, attempt(now() - timedelta(minutes=1)))
        app = open_page(served, "latency")
        assert not app.exception
        assert "objective" not in tables(app)
        assert "Within objective" not in texts(app)
