"""Hostile texts in a real browser: shown letter by letter, nothing run, nothing fetched from elsewhere."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page

from dashboard import format as fmt
from dashboard.launch import environment_of
from dashboard.theme import streamlit_config
from tests.dashboard.conftest import CONFIG
from tests.dashboard.load_worlds import Story
from tests.dashboard.worlds import send
from tests.e2e.conftest import settle
from tests.hostile.texts import as_name, corpus
from tests.servers.dashboard import ROOT, running_dashboard, wait_served
from tests.servers.ports import free_port
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import us
from tests.warehouse.records import attempt, minute_ago, sample
from warehouse import tokens
from warehouse.client import Client
from warehouse.model import Event, Gap, GapReason, JobState

Tab = Callable[..., Page]
SHOWN = 300
PAGES = ("", "latency", "database", "hosts", "collectors")
LOAD_PAGES = ("loadtests", "run", "compare")
JOINER = "\u2060"


def untouched(page: Page) -> None:
    """Nothing of the texts became an element or was run. (The tab itself hears of requests and errors.)"""
    assert page.evaluate("window.__hit") is None
    made = page.evaluate(
        """() => [...document.querySelectorAll('[data-testid=stApp] *')].filter(e =>
            e.matches('iframe, object, embed, base, [onerror], [onload], [srcdoc], .katex')
            || (e.matches('svg image') && !/^(data:.*)?$/.test(e.href.baseVal))
            || (e.matches('script') && !e.type)
            || (e.href && e.href.baseVal === undefined && new URL(e.href).origin !== location.origin)
            || (e.matches('img') && new URL(e.src).origin !== location.origin && !e.src.startsWith('data:'))
        ).map(e => e.outerHTML.slice(0, 200))"""
    )
    assert made == []


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[str]:
    """The address of the page of all texts, on the dashboard's own server and configuration."""
    (tmp_path / "texts.json").write_text(json.dumps(corpus(SHOWN)))
    port = free_port()
    environment = {
        **os.environ,
        **environment_of(streamlit_config()),
        "STREAMLIT_SERVER_PORT": str(port),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "dashboard.serve", "run", str(Path(__file__).with_name("gallery.py"))]
    log = tmp_path / "gallery.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out, stderr=out)
    try:
        wait_served(process, f"http://127.0.0.1:{port}", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in log.read_text()


def seen(text: str) -> str:
    """A text as a reader sees it, whatever joins or parts its letters."""
    return re.sub(r"\s+", " ", text.replace(JOINER, "")).strip()


def test_every_text_is_shown_letter_by_letter(gallery: str, open_tab: Tab) -> None:
    page = open_tab(gallery)
    page.wait_for_function("() => document.body.innerText.includes('The end')")
    page.wait_for_function("() => document.querySelectorAll('.legendtext').length > 250")
    settle(page)
    texts = [fmt.option(text) for text in corpus(SHOWN)]
    blocks = page.evaluate(
        """n => [...Array(n).keys()].map(i => document.querySelector(`.st-key-text${i}`)).map(e =>
            [...e.querySelectorAll('[data-testid=stMarkdownContainer], [data-testid=stCaptionContainer]')]
            .map(m => m.textContent))""",
        SHOWN,
    )
    for text, shown in zip(texts, blocks, strict=True):
        assert {seen(each) for each in shown} == {seen(text), seen(f"{text}: small")}
    items = page.locator("[data-testid=stAlert] li").all_text_contents()
    assert [seen(item) for item in items] == [seen(text) for text in texts]
    legends = [seen(text) for text in page.locator(".legendtext").all_text_contents()]
    wanted = [seen(plain_of_chart(text)) for text in corpus(SHOWN)]
    assert sorted(legends) == sorted(wanted)
    untouched(page)
    page.locator(".st-key-one").scroll_into_view_if_needed()
    page.get_by_label("One", exact=True).press("ArrowDown")
    page.get_by_role("option").first.wait_for()
    untouched(page)


def plain_of_chart(text: str) -> str:
    """What chart_text stands for."""
    shown = fmt.chart_text(text, limit=48)
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, WarehouseProcess]]:
    """A dashboard over hostile texts in every field there is."""
    folder = tmp_path_factory.mktemp("besieged")
    with running_warehouse(folder, CONFIG) as warehouse:
        names = [as_name(text) for text in corpus(200)]
        at = minute_ago(20)
        for number in range(0, 200, 10):
            source = names[number]
            token = tokens.add(warehouse.settings.token_dir, f"source{number}", ["ingest"], [source])
            some = names[number : number + 10]
            with Client(warehouse.settings.warehouse.url, lambda token=token: token) as client:
                for name in some:
                    send(client, *rows(at, source, name))
        with running_dashboard(warehouse.settings, folder / "dashboard.log") as url:
            yield url, warehouse


def rows(at: object, source: str, name: str) -> list[object]:
    """Each kind of row, with the name wherever a text goes."""
    return [
        attempt(at, target=name, endpoint=name, ms=None),
        sample(at, kind=name, target=name, object=name, metric=name, unit=name),
        sample(at, target=name, metric="cpu_ratio", value=0.99),
        sample(at, target=name, object=name, metric="disk_used_ratio"),
        sample(at, target=name, object=name, metric="process_cpu_ratio"),
        sample(
            at, kind="collector", target=source, object=f"probe {name}"[:200], metric="interval_s", unit="s"
        ),
        Gap(at=at, until=at, job=f"probe {name} {name}"[:200], reason=GapReason.DOWN, missed=1),
        Event(at=at, job=name, state=JobState.FAILING, text=name),
    ]


@pytest.mark.parametrize("path", PAGES)
def test_pages_over_hostile_data_and_hostile_addresses(
    besieged: tuple[str, WarehouseProcess], open_tab: Tab, path: str
) -> None:
    url, warehouse = besieged
    page = open_tab(f"{url}/{path}?range=15m")
    untouched(page)
    names = [as_name(text) for text in corpus(200)]
    for begin in (0, 25):
        name = names[begin]
        query = [("target", each) for each in names[begin : begin + 25]] if path == "latency" else []
        query += [(key, name) for key in ("range", "endpoint", "host", "percentile", "live", "prev", name)]
        page.goto(f"{url}/{path}?{urlencode(query)}")
        settle(page)
        untouched(page)
    page.close()
    assert "Traceback" not in warehouse.config.with_name("dashboard.log").read_text()


def hostile_loads(names: list[str]) -> str:
    """Targets, presets and scenarios with hostile names, titles and labels."""
    lines = []
    for number, name in enumerate(names):
        told = json.dumps(name)
        lines.append(
            f'[[target]]\nname = {told}\nurl = "http://127.0.0.1:9"\n'
            f"load = {{ users = 50, requests_per_s = 50, duration_s = 600, environment = {told} }}\n"
            f'endpoint = [{{ path = "/{number}", name = {told} }}]\n'
            f"[[preset]]\nname = {told}\ntitle = {told}\nusers = 4\nduration_s = 30\n"
            f"[[scenario]]\nname = {told}\ntitle = {told}\n"
            f'request = [{{ path = "/{number}", name = {told} }}]\n'
        )
    return "".join(lines)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, WarehouseProcess, list[str]]]:
    """A dashboard over load tests whose every text is hostile, and their ids."""
    folder = tmp_path_factory.mktemp("attacked")
    names = [name for name in map(as_name, corpus(60)) if name.isprintable()][:8]
    with running_warehouse(folder, hostile_loads(names)) as warehouse:
        made = []
        with warehouse.client("cli") as asks, warehouse.client("agent") as agent:
            story = Story(asks, agent)
            for name in names:
                run_id, began = story.started(600, name, name, scenario=name, note=name)
                story.measured(run_id, began, failing=7, text=name)
                story.ended(run_id, began, state="failed", reason=name, is_partial=True)
                made.append(run_id)
            agent.tell_missed(names[0], names[0], names[0], due_at_us=us(minute_ago(1)), why=names[0])
        with running_dashboard(warehouse.settings, folder / "dashboard.log") as url:
            yield url, warehouse, made


@pytest.mark.parametrize("path", LOAD_PAGES)
def test_pages_of_load_tests_over_hostile_names(
    attacked: tuple[str, WarehouseProcess, list[str]], open_tab: Tab, path: str
) -> None:
    url, warehouse, made = attacked
    names = [as_name(text) for text in corpus(60)]
    page = open_tab(f"{url}/{path}")
    untouched(page)
    addresses: dict[str, list[list[tuple[str, str]]]] = {
        "loadtests": [[("launch_target", names[0]), ("text", names[1]), ("preset", names[2])]],
        "run": [[("run", run_id)] for run_id in made] + [[("run", names[0]), ("phase", names[1])]],
        "compare": [[("a", made[0]), ("b", made[1])], [("a", names[0]), ("b", names[1])]],
    }
    for query in addresses[path]:
        page.goto(f"{url}/{path}?{urlencode(query)}")
        settle(page)
        untouched(page)
    page.close()
    assert "Traceback" not in warehouse.config.with_name("dashboard.log").read_text()
