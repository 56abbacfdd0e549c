"""Load tests on the pages: what may be started, what runs, every ending, comparisons, hostile names."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import access
from dashboard import format as fmt
from dashboard.access import Caller
from tests.dashboard import load_worlds
from tests.dashboard.conftest import LOAD_PAGES, Open, texts
from tests.dashboard.load_worlds import HOSTILE, Story
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from warehouse.model import now

LOCAL = Caller("127.0.0.1", "127.0.0.1", (("Host", "127.0.0.1:8501"),))
AWAY = Caller("127.0.0.1", "127.0.0.1", (("Host", "127.0.0.1:8501"), ("X-Forwarded-For", "192.0.2.7")))
EVERY = sorted(LOAD_PAGES)

Made = tuple[WarehouseProcess, dict[str, str]]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A warehouse with a run of each ending; nothing in it changes."""
    with running_warehouse(tmp_path_factory.mktemp("full"), load_worlds.CONFIG) as served:
        with served.client("cli") as asks, served.client("agent") as agent:
            made = load_worlds.full(asks, agent)
        yield served, made


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse without any run."""
    with running_warehouse(tmp_path_factory.mktemp("fresh"), load_worlds.CONFIG) as served:
        yield served


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks sits at this machine."""
    monkeypatch.setattr(access, "caller", lambda: LOCAL)


def runs(served: WarehouseProcess, **asked: Any) -> list[dict[str, Any]]:
    with served.client("cli") as client:
        return client.ask("runs", **asked).to_dicts()


def audit(served: WarehouseProcess) -> list[tuple[str, str, str]]:
    with served.client("cli") as client:
        rows = client.ask("audit_log", start=now() - timedelta(hours=1), end=now() + timedelta(hours=1))
    return [(row["who"], row["action"], row["outcome"]) for row in rows.to_dicts()]


def button(app: AppTest, label: str) -> Any:
    return next(each for each in app.button if each.label == label)


def plain(app: AppTest) -> str:
    """What the page says, without the marks that keep names from being markup."""
    return texts(app).replace("\\", "").replace("\u2060", "")


def tables(app: AppTest) -> dict[str, Any]:
    """The tables by one of their columns."""
    return {str(column): each.value for each in app.dataframe for column in each.value.columns}


def echarts(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(each.proto.spec) for each in app.get("echarts_chart")]


@pytest.mark.parametrize("page", EVERY)
@pytest.mark.usefixtures("local")
def test_without_any_run_the_first_step_is_told(fresh: WarehouseProcess, open_page: Open, page: str) -> None:
    app = open_page(fresh, page)
    assert not app.exception
    assert not app.error
    assert "Nothing has been measured yet" not in texts(app)
    said = plain(app)
    if page == "loadtests":
        assert "none ever ran here" in said
        assert "perfhouse.py agent" in said, "nothing claims runs here"
        assert button(app, "Start").disabled is False
    else:
        assert "Load tests page" in said


@pytest.mark.usefixtures("local")
def test_without_a_target_that_allows_load_it_says_what_to_write(
    tmp_path_factory: pytest.TempPathFactory, open_page: Open
) -> None:
    watched = '[[target]]\nname = "shop"\nurl = "http://127.0.0.1:9"\n[[target.endpoint]]\npath = "/"\n'
    with running_warehouse(tmp_path_factory.mktemp("none"), watched) as served:
        app = open_page(served, "loadtests")
    assert not app.exception
    assert "No target allows load tests yet" in texts(app)
    assert "[target.load]" in app.code[0].value
    assert not [each for each in app.button if each.label.startswith("Start")]


@pytest.mark.usefixtures("local")
def test_one_click_requests_a_small_run(fresh: WarehouseProcess, open_page: Open) -> None:
    app = open_page(fresh, "loadtests", launch_target="shop")
    app.button(key="start_smoke").click().run()
    made = runs(fresh)
    assert [(run["preset"], run["target"], run["state"], run["requested_by"]) for run in made] == [
        ("smoke", "shop", "requested", "local")
    ]
    assert made[0]["via"] == "dashboard"
    assert audit(fresh)[-1] == ("local", "launch", "done")


@pytest.mark.usefixtures("local")
def test_a_hundred_users_ask_for_the_name_typed(fresh: WarehouseProcess, open_page: Open) -> None:
    app = open_page(fresh, "loadtests", launch_target="shop")
    app.button(key="start_stress").click().run()
    assert runs(fresh) == []
    assert "200 users" in texts(app)
    assert app.button(key="confirm_start").disabled
    assert "Type the preset's name" in app.text_input(key="confirm_name").label


@pytest.mark.usefixtures("local")
def test_what_is_over_a_limit_cannot_be_started(fresh: WarehouseProcess, open_page: Open) -> None:
    app = open_page(fresh, "loadtests", launch_target="small")
    assert app.button(key="start_smoke").disabled is False
    assert app.button(key="start_medium").disabled
    assert app.button(key="start_light").disabled
    assert "allows at most 10" in plain(app)
    assert "allows at most 150" not in plain(app), "the first limit is named"


@pytest.mark.usefixtures("local")
def test_a_busy_target_refuses_or_queues_as_asked(fresh: WarehouseProcess, open_page: Open) -> None:
    with fresh.client("cli") as asks, fresh.client("agent") as agent:
        on = load_worlds.running(asks, agent)
    app = open_page(fresh, "loadtests", launch_target="shop")
    app.button(key="start_smoke").click().run()
    assert app.error[0].proto.title
    assert on in plain(app)
    assert [run["run_id"] for run in runs(fresh)] == [on]
    app = open_page(fresh, "loadtests", launch_target="shop", if_busy="queue")
    app.button(key="start_smoke").click().run()
    assert sorted(run["state"] for run in runs(fresh)) == ["requested", "running"]


@pytest.mark.parametrize("page", EVERY)
def test_who_is_not_signed_in_can_look_and_not_act(
    full: Made, open_page: Open, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "caller", lambda: AWAY)
    served, made = full
    app = open_page(served, page, run=made["pass"]) if page == "run" else open_page(served, page)
    assert not app.exception
    acting = ("start_", "stop_", "pin_", "note_", "delete_")
    assert all(each.disabled for each in app.button if str(each.key).startswith(acting))
    if page == "loadtests":
        assert "X-Forwarded-For" in plain(app)
        assert any(str(each.key).startswith("start_") for each in app.button)


def test_the_action_itself_is_refused_too(fresh: WarehouseProcess, open_page: Open, monkeypatch: Any) -> None:
    """A page that was drawn while it was allowed, and pressed when it is not any more."""
    monkeypatch.setattr(access, "caller", lambda: LOCAL)
    app = open_page(fresh, "loadtests", launch_target="shop")
    monkeypatch.setattr(access, "caller", lambda: AWAY)
    app.button(key="start_smoke").click().run()
    assert runs(fresh) == []


@pytest.mark.usefixtures("local")
def test_a_run_that_is_on_shows_how_far_it_is_and_stops(fresh: WarehouseProcess, open_page: Open) -> None:
    with fresh.client("cli") as asks, fresh.client("agent") as agent:
        on = load_worlds.running(asks, agent, ago_s=12)
    app = open_page(fresh, "run", run=on)
    assert not app.exception
    assert not app.error
    said = plain(app)
    assert " of 30 s, " in said
    cards = {metric.label: metric.value for metric in app.metric}
    assert cards["Users"] == "4"
    assert cards["Requests/s"] == "50/s"
    assert cards["Failures"] == "4 %"
    assert len(echarts(app)) >= 4
    assert "503 " in " ".join(tables(app)["text"]["text"])
    app.button(key="stop_run").click().run()
    assert runs(fresh)[0]["cancel_by"] == "local"
    assert app.button(key="stop_run").disabled
    assert "stopping" in plain(app)


@pytest.mark.usefixtures("local")
def test_the_list_shows_what_runs_and_what_waits(fresh: WarehouseProcess, open_page: Open) -> None:
    with fresh.client("cli") as asks, fresh.client("agent") as agent:
        on = load_worlds.running(asks, agent)
        waiting = Story(asks, agent).requested("judged", waits=True)
    app = open_page(fresh, "loadtests")
    assert not app.exception
    assert "No load agent" not in texts(app)
    assert app.button(key=f"stop_{on}").label == "Stop"
    assert app.button(key=f"stop_{waiting}").label == "Take out of the queue"
    app.button(key=f"stop_{waiting}").click().run()
    assert next(run for run in runs(fresh) if run["run_id"] == waiting)["state"] == "cancelled"


ENDINGS = {
    "pass": ("finished", "pass"),
    "fail": ("finished", "fail"),
    "no_data": ("finished", "no data"),
    "partial": ("failed", "partial"),
    "cancelled": ("cancelled", "stopped by ann"),
    "bound": ("finished", "Generator-bound"),
    "baseline": ("finished", "pass"),
}


@pytest.mark.parametrize("kind", sorted(ENDINGS))
@pytest.mark.usefixtures("local")
def test_each_ending_tells_state_and_verdict_apart(full: Made, open_page: Open, kind: str) -> None:
    served, made = full
    app = open_page(served, "run", run=made[kind])
    assert not app.exception
    assert not app.error
    row = next(run for run in runs(served) if run["run_id"] == made[kind])
    state, more = ENDINGS[kind]
    assert row["state"] == state
    said = plain(app)
    assert more in said or any(more in str(warning.proto.title) for warning in app.warning)
    cards = {metric.label.partition(" ·")[0]: metric.value for metric in app.metric}
    assert cards["p95"] == fmt.duration_ms(row["p95_ms"])
    assert cards["Failures"] == fmt.ratio(row["error_ratio"])
    assert not [each for each in app.button if each.key == "stop_run"]
    assert app.button(key="delete_run").disabled == (kind == "baseline")
    table = tables(app)["requests"]
    assert sum(int(text.replace(",", "")) for text in table["requests"]) == row["requests"]


@pytest.mark.usefixtures("local")
def test_each_criterion_has_its_value_and_n(full: Made, open_page: Open) -> None:
    served, made = full
    row = next(run for run in runs(served) if run["run_id"] == made["fail"])
    shown = tables(open_page(served, "run", run=made["fail"]))["criterion"]
    assert shown["criterion"].to_list() == ["p95 < 20ms", "p99 < 30ms"]
    assert shown["verdict"].to_list() == ["✗ fail", "✗ fail"]
    assert shown["value"].to_list() == [fmt.duration_ms(row[f"p{p}_ms"]) for p in (95, 99)]
    assert shown["n"].to_list() == [fmt.count(row["n"])] * 2
    few = tables(open_page(served, "run", run=made["no_data"]))["criterion"]
    assert set(few["verdict"]) == {"? no data"}
    assert "not enough samples" in few["why"][0]


@pytest.mark.usefixtures("local")
def test_the_steady_phase_leaves_the_ramp_out(full: Made, open_page: Open) -> None:
    served, made = full
    whole = tables(open_page(served, "run", run=made["pass"]))["requests"]
    steady = tables(open_page(served, "run", run=made["pass"], phase="steady"))["requests"]
    amounts = [sum(int(text.replace(",", "")) for text in each["requests"]) for each in (whole, steady)]
    assert amounts[0] == 1500
    assert amounts[1] == 1200, "users stand still from 4 s on, and settle for 2 s: 24 of 30 s"


@pytest.mark.usefixtures("local")
def test_the_history_is_filtered_by_the_address(full: Made, open_page: Open) -> None:
    served, made = full

    def listed(**address: str | list[str]) -> set[str]:
        app = open_page(served, "loadtests", **address)
        assert not app.exception
        found = tables(app)
        return set(found["run"]["run"]) if "run" in found else set()

    every = set(made.values())
    assert listed() == every
    assert listed(verdict="fail") == {made["fail"]}
    assert listed(preset=["strict"]) == {made["fail"]}
    assert listed(baselines="1") == {made["baseline"]}
    assert listed(text="after the release") == {made["pass"]}
    assert listed(version="1.4.2") == every
    assert listed(version="9.9") == set()
    assert listed(target="nowhere") == set()


@pytest.mark.usefixtures("local")
def test_the_history_marks_what_is_to_be_borne_in_mind(full: Made, open_page: Open) -> None:
    served, made = full
    shown = tables(open_page(served, "loadtests"))["run"]
    rows = {row["run"]: row for _, row in shown.iterrows()}
    assert rows[made["bound"]]["mind"] == "generator-bound"
    assert rows[made["partial"]]["mind"] == "partial"
    assert rows[made["baseline"]]["mind"] == "baseline"
    assert rows[made["no_data"]]["verdict"] == "no data"
    assert rows[made["no_data"]]["p95"].endswith("*")
    assert rows[made["cancelled"]]["state"] == "cancelled"


@pytest.mark.usefixtures("local")
def test_a_run_is_pinned_and_what_is_final_is_asked_about(fresh: WarehouseProcess, open_page: Open) -> None:
    with fresh.client("cli") as asks, fresh.client("agent") as agent:
        run_id = Story(asks, agent).whole(300)
    app = open_page(fresh, "run", run=run_id)
    app.button(key="pin_run").click().run()
    assert runs(fresh)[0]["is_baseline"]
    assert app.button(key="delete_run").disabled
    app.button(key="pin_run").click().run()
    assert not runs(fresh)[0]["is_baseline"]
    app.button(key="note_run").click().run()
    assert app.button(key="note_save").label == "Save"
    app.button(key="delete_run").click().run()
    assert app.button(key="delete_now").label == "Delete"
    assert len(runs(fresh)) == 1, "only asked"
    assert [each for each in audit(fresh) if each[0] == "local"] == [
        ("local", "pin", "done"),
        ("local", "unpin", "done"),
    ]


@pytest.mark.usefixtures("local")
def test_two_runs_are_compared_with_interval_and_n(full: Made, open_page: Open) -> None:
    served, made = full
    with served.client("cli") as client:
        truth = client.ask("run_compare", a=made["baseline"], b=made["pass"])
    app = open_page(served, "compare", a=made["baseline"], b=made["pass"])
    assert not app.exception
    assert not app.error
    shown = tables(app)["interval"]
    assert len(shown) == len(truth)
    first = truth.filter((truth["label"] == "") & (truth["measure"] == "p95")).row(0, named=True)
    row = shown[(shown["endpoint"] == "All together") & (shown["measure"] == "p95")].iloc[0]
    assert row["a"] == fmt.duration_ms(first["a"])
    assert row["b"] == fmt.duration_ms(first["b"])
    assert row["difference"] == f"+{fmt.duration_ms(first['difference'])}"
    assert row["n_a"] == fmt.count(first["n_a"])
    assert row["says"] == "▼ worse"
    assert "not enough samples" in set(shown["says"])
    spec = echarts(app)[0]
    assert [series["name"] for series in spec["series"]] == ["A", "B"]


@pytest.mark.usefixtures("local")
def test_what_cannot_be_compared_says_why(full: Made, open_page: Open) -> None:
    served, made = full
    app = open_page(served, "compare", a=made["pass"], b="r20200101000000-abcdef")
    assert not app.exception
    assert "These two cannot be compared" in texts(app)
    assert "r20200101000000-abcdef" in plain(app)
    same = open_page(served, "compare", a=made["pass"], b=made["pass"])
    assert "choose two" in texts(same)


@pytest.mark.usefixtures("local")
def test_a_run_is_compared_with_its_baseline_unless_told_otherwise(full: Made, open_page: Open) -> None:
    served, made = full
    app = open_page(served, "compare", b=made["bound"])
    assert app.selectbox(key="run_a_choice").value == made["baseline"]
    assert app.selectbox(key="run_b_choice").value == made["bound"]


@pytest.mark.usefixtures("local")
def test_hostile_names_stay_text(full: Made, open_page: Open) -> None:
    served, made = full
    for page, address in (("run", {"run": made["pass"]}), ("loadtests", {})):
        said = texts(open_page(served, page, **address))
        assert "![x](" not in said
        assert "<b>" not in said
    assert HOSTILE.replace("  ", " ") in " ".join(tables(open_page(served, "loadtests"))["note"]["note"])


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("run_id", ["r20200101000000-abcdef", "nonsense", HOSTILE])
def test_a_run_that_is_not_there_is_told(full: Made, open_page: Open, run_id: str) -> None:
    app = open_page(full[0], "run", run=run_id)
    assert not app.exception
    assert "There is no such run" in texts(app)
    assert "![x](" not in texts(app)
