"""From the click to the finished run and the comparison: real browser, agent, Locust and target."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.cli.children import wait_for
from tests.dashboard import load_worlds
from tests.e2e.conftest import settle
from tests.loadtests.observatory import Observatory, observatory
from tests.servers.dashboard import running_dashboard
from tests.servers.warehouse import running_warehouse
from warehouse.errors import RefusedError
from warehouse.run_model import ENDED

Tab = Callable[..., Page]
Seen = tuple[str, Observatory]
NUMBER = re.compile(r"\d")
DRAWN = ("run_latency", "run_requests_and_failures_a_second", "run_users", "run_load_generator")
CHARTS = ", ".join(f".st-key-{key} canvas" for key in DRAWN)


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A dashboard over a warehouse, an agent and a target, all real."""
    folder = tmp_path_factory.mktemp("load")
    with observatory(folder, "--stop-runs") as made:
        wait_for(lambda: "load agent" in made.agent.said)
        with running_dashboard(made.warehouse.settings, folder / "dashboard.log") as url:
            yield url, made


@pytest.fixture
def seen(observed: Seen) -> Iterator[Seen]:
    """The same; what a test that failed left running does not keep the target from the next one."""
    yield observed
    for run in runs(observed[1]):
        if run["state"] not in ENDED:
            with suppress(RefusedError):  # it has ended meanwhile
                observed[1].cancel(run["run_id"])
            observed[1].wait_complete(run["run_id"])


def runs(made: Observatory) -> list[dict[str, Any]]:
    with made.warehouse.client("cli") as client:
        return client.ask("runs").to_dicts()


def start(page: Page, url: str, preset: str) -> str:
    """Press a preset's button; the id of the run whose page opens."""
    page.goto(f"{url}/loadtests?launch_target=shop&launch_scenario=plain")
    settle(page)
    page.locator(f".st-key-start_{preset} button").click()
    page.wait_for_url(re.compile(r"/run\?run=r\d{14}-[0-9a-f]{6}"))
    return page.url.rpartition("run=")[2]


def wait_ended(page: Page) -> None:
    """The page itself tells the end, without being loaded again."""
    expect(page.get_by_role("heading", name=re.compile("Verdict"))).to_be_visible(timeout=45_000)
    settle(page)


def test_from_the_click_to_the_finished_run_and_the_comparison(seen: Seen, open_tab: Tab) -> None:
    url, made = seen
    before = made.target.total
    page = open_tab(f"{url}/loadtests")
    first = start(page, url, "middle")
    expect(page.locator(".st-key-run_progress")).to_contain_text(re.compile("of 9 s"))
    wait_ended(page)
    expect(page.get_by_text("finished").first).to_be_visible()
    ended = next(run for run in runs(made) if run["run_id"] == first)
    assert ended["requests"] == made.target.total - before > 50
    card = page.locator("[data-testid=stMetric]").filter(has_text="Failures")
    expect(card).to_contain_text(f"of {ended['requests']:,}")
    page.get_by_role("button", name="Set as baseline").click()
    expect(page.get_by_role("button", name="Unpin baseline")).to_be_visible(timeout=15_000)

    second = start(page, url, "middle")
    assert second != first
    wait_ended(page)
    page.get_by_role("button", name="Compare with its baseline").click()
    page.wait_for_url(re.compile(f"a={first}.*b={second}|b={second}.*a={first}"))
    settle(page)
    expect(page.get_by_role("heading", name="Compare runs")).to_be_visible()
    expect(page.get_by_role("heading", name="Differences, B less A")).to_be_visible()
    expect(page.locator("[data-testid=stMetric]").filter(has_text="p95")).to_contain_text(NUMBER)
    assert page.locator("canvas").count() > 4


def test_a_live_run_moves_second_by_second_keeps_its_charts_and_stops(seen: Seen, open_tab: Tab) -> None:
    url, made = seen
    page = open_tab(f"{url}/loadtests")
    run_id = start(page, url, "long")
    made.wait_attacking(run_id)
    for key in DRAWN:
        expect(page.locator(f".st-key-{key} canvas")).to_be_attached()
    page.evaluate(f"() => document.querySelectorAll('{CHARTS}').forEach(e => {{ e.dataset.kept = '1' }})")
    counted = page.locator("[data-testid=stMetric]").filter(has_text="Failures")
    told = counted.inner_text()
    page.wait_for_function(
        "told => ![...document.querySelectorAll('[data-testid=stMetric]')].some(e => e.innerText === told)",
        arg=told,
    )
    page.wait_for_timeout(2500)
    kept = page.evaluate(f"() => [...document.querySelectorAll('{CHARTS}')].map(e => e.dataset.kept)")
    assert kept == ["1"] * 4, "no chart was mounted anew"
    page.locator(".st-key-stop_run").get_by_role("button").first.click()
    wait_ended(page)
    row = next(run for run in runs(made) if run["run_id"] == run_id)
    assert row["state"] == "cancelled"
    assert row["cancel_by"] == "local"
    assert row["requests"] >= made.spooled(run_id) > 0
    expect(page.get_by_text("stopped by local")).to_be_visible()


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any, dict[str, str]]]:
    """A dashboard over a warehouse with a run of each ending."""
    folder = tmp_path_factory.mktemp("stocked")
    with running_warehouse(folder, load_worlds.CONFIG) as served:
        with served.client("cli") as asks, served.client("agent") as agent:
            made = load_worlds.full(asks, agent)
        with running_dashboard(served.settings, folder / "dashboard.log") as url:
            yield url, served, made


def tick(page: Page, row: int) -> None:
    """Select a row of the history by its box."""
    table = page.locator(".st-key-history [data-testid=stDataFrame] canvas").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 18, box["y"] + 52 + 35 * row)
    page.wait_for_timeout(600)


def test_two_selected_runs_are_compared_and_one_opened(stocked: Any, open_tab: Tab) -> None:
    url, _, made = stocked
    page = open_tab(f"{url}/loadtests?preset=strict")
    tick(page, 0)
    page.get_by_role("button", name="Open", exact=True).last.click()
    page.wait_for_url(re.compile(made["fail"]))
    page.goto(f"{url}/loadtests?preset=judged")
    settle(page)
    tick(page, 0)
    tick(page, 1)
    page.get_by_role("button", name="Compare 2 runs").click()
    page.wait_for_url(re.compile("/compare"))
    assert made["cancelled"] in page.url
    assert made["partial"] in page.url


def test_a_hundred_users_ask_for_the_presets_name(stocked: Any, open_tab: Tab) -> None:
    url, served, _ = stocked
    page = open_tab(f"{url}/loadtests?launch_target=shop")
    page.locator(".st-key-start_stress button").click()
    go = page.get_by_role("button", name="Start test")
    expect(go).to_be_disabled()
    page.get_by_label("Type the preset's name to confirm").press_sequentially("stres", delay=30)
    page.wait_for_timeout(800)
    expect(go).to_be_disabled()
    page.get_by_label("Type the preset's name to confirm").press_sequentially("s", delay=30)
    expect(go).to_be_enabled()
    go.click()
    page.wait_for_url(re.compile("run=r"))
    settle(page)
    expect(page.get_by_text("Waits for a load agent")).to_be_visible()
    page.get_by_role("button", name="Take out of the queue").click()
    wait_ended(page)
    with served.client("cli") as client:
        assert client.ask("runs", preset=["stress"])["state"].to_list() == ["cancelled"]


def test_a_note_is_written_and_a_run_deleted_only_when_confirmed(stocked: Any, open_tab: Tab) -> None:
    url, served, made = stocked
    page = open_tab(f"{url}/run?run={made['no_data']}")
    page.get_by_role("button", name="Note", exact=True).click()
    page.get_by_label("What should be remembered of this run?").fill("nobody was there")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("nobody was there")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Keep it").click()
    settle(page)
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    page.wait_for_url(re.compile("/loadtests"))
    with served.client("cli") as client:
        assert made["no_data"] not in client.ask("runs")["run_id"].to_list()


def test_nothing_scrolls_sideways_and_nothing_is_loaded_from_a_note(stocked: Any, open_tab: Tab) -> None:
    url, _, made = stocked
    for path in ("loadtests", f"run?run={made['pass']}", f"compare?a={made['baseline']}&b={made['pass']}"):
        for mode in ("light", "dark"):
            page = open_tab(f"{url}/{path}", width=390, mode=mode)
            widths = page.evaluate(
                "() => [...document.querySelectorAll('html, body, [data-testid=stMain]')].map(e => "
                "e.scrollWidth)"
            )
            assert max(widths) <= 390, path
            assert page.locator("img[src*='192.0.2'], a[href*='192.0.2']").count() == 0
            page.close()


def test_through_a_proxy_the_buttons_are_off(stocked: Any, open_tab: Tab) -> None:
    url, _, _ = stocked
    page = open_tab(f"{url}/loadtests?launch_target=shop")
    expect(page.locator(".st-key-start_smoke button").first).to_be_enabled()
    page.context.set_extra_http_headers({"X-Forwarded-For": "192.0.2.7"})
    page.reload()
    settle(page)
    expect(page.locator(".st-key-start_smoke button").first).to_be_disabled()
    expect(page.get_by_text("You can look, not start or stop")).to_be_visible()


ACCESS = """
[access]
launch = ["alice"]
proxy_header = "X-Forwarded-User"
"""


def test_a_trusted_proxys_person_acts_by_name(tmp_path: Path, open_tab: Tab) -> None:
    with (
        running_warehouse(tmp_path, load_worlds.CONFIG + ACCESS) as served,
        running_dashboard(served.settings, tmp_path / "dashboard.log") as url,
    ):
        page = open_tab(url)
        button = page.locator(".st-key-start_smoke").get_by_role("button").first
        for person in ("bob", "alice"):
            page.context.set_extra_http_headers(
                {"X-Forwarded-User": person, "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
            )
            page.goto(f"{url}/loadtests?launch_target=shop")
            settle(page)
            if person == "bob":
                expect(button).to_be_disabled()
        button.click()
        page.wait_for_url(re.compile("run=r"))
        page.close()
        with served.client("cli") as client:
            assert client.ask("runs")["requested_by"].to_list() == ["alice"]


def test_a_run_s_requests_are_exported_whole(stocked: Any, open_tab: Tab, tmp_path: Path) -> None:
    url, served, made = stocked
    page = open_tab(f"{url}/run?run={made['pass']}")
    page.get_by_role("button", name="Export").click()
    page.get_by_text("Load test, single requests").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").click()
    file = tmp_path / "requests.csv"
    waiting.value.save_as(file)
    with served.client("cli") as client:
        row = client.ask("run", run_id=made["pass"]).row(0, named=True)
    assert len(file.read_text().splitlines()) == row["requests"] + 1
