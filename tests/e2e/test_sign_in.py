"""People sign in at a real OpenID Connect provider, in a real browser, and act by their own name."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.dashboard import load_worlds
from tests.e2e.conftest import settle
from tests.servers.dashboard import running_dashboard
from tests.servers.oidc import CLIENT_ID, Provider, running_provider
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from warehouse.model import now

Tab = Callable[..., Page]
PEOPLE = {
    "Alice": {"sub": "1", "email": "alice@example.com", "email_verified": True, "name": "Alice"},
    "Bob": {"sub": "2", "email": "bob@example.com", "email_verified": True, "name": "Bob"},
    "Mallory": {"sub": "3", "email": "alice@example.com", "email_verified": False, "name": "Alice"},
}
ACCESS = '[access]\nlaunch = ["alice@example.com"]\nsign_in_file = "sign in.toml"\n'
COOKIE_SECRET = "c0ok1e-" * 6
THROUGH_A_PROXY = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}


@dataclass
class Site:
    """A dashboard that others reach through a proxy, and sign in to."""

    url: str
    warehouse: WarehouseProcess
    provider: Provider
    log: Path


def write_sign_in(file: Path, provider: Provider) -> None:
    """The file a person writes for Streamlit's login."""
    file.write_text(
        f'[auth]\nredirect_uri = "{provider.redirect_uri}"\ncookie_secret = "{COOKIE_SECRET}"\n'
        f'client_id = "{CLIENT_ID}"\nclient_secret = "{provider.client_secret}"\n'
        f'server_metadata_url = "{provider.discovery}"\n'
    )
    file.chmod(0o600)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("sign in")
    with running_warehouse(folder, load_worlds.CONFIG + ACCESS) as warehouse:
        url = f"http://127.0.0.1:{warehouse.settings.dashboard.port}"
        with running_provider(PEOPLE, f"{url}/oauth2callback") as provider:
            write_sign_in(folder / "sign in.toml", provider)
            log = folder / "dashboard.log"
            with running_dashboard(warehouse.settings, log) as served:
                yield Site(served, warehouse, provider, log)


def arrive(site: Site, open_tab: Tab) -> Page:
    """Open the page as somebody does who comes through a proxy."""
    page = open_tab(site.url)
    page.context.set_extra_http_headers(THROUGH_A_PROXY)
    look(page, site)
    return page


def look(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/loadtests?launch_target=shop")
    settle(page)


def sign_in(page: Page, site: Site, person: str) -> None:
    """Press the button, say who one is at the provider, and come back."""
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=person, exact=True).click()
    page.wait_for_url(re.compile(re.escape(site.url)))
    settle(page)
    look(page, site)


def saying(text: str) -> re.Pattern[str]:
    """A text as the page shows it: what joins its letters keeps an address from being a link."""
    return re.compile(re.escape(text).replace("@", "@\u2060?"))


def start_button(page: Page) -> Locator:
    return page.locator(".st-key-start_smoke").get_by_role("button").first


def audit(site: Site) -> list[tuple[str, str, str]]:
    with site.warehouse.client("cli") as client:
        rows = client.ask("audit_log", start=now() - timedelta(hours=1), end=now() + timedelta(minutes=1))
    return [(row["who"], row["action"], row["outcome"]) for row in rows.to_dicts()]


def test_who_signed_in_and_may_launches_by_name_and_signs_out(site: Site, open_tab: Tab) -> None:
    page = arrive(site, open_tab)
    expect(page.get_by_text("nobody is signed in")).to_be_visible()
    expect(start_button(page)).to_be_disabled()
    sign_in(page, site, "Alice")
    expect(page.get_by_text(saying("Signed in as alice@example.com"))).to_be_visible()
    start_button(page).click()
    page.wait_for_url(re.compile("run=r"))
    settle(page)
    expect(page.get_by_text(saying("alice@example.com by the dashboard"))).to_be_visible()
    page.get_by_role("button", name="Take out of the queue").click()
    expect(page.get_by_text(saying("stopped by alice@example.com"))).to_be_visible()
    assert audit(site)[-2:] == [("alice@example.com", action, "done") for action in ("launch", "cancel")]
    look(page, site)
    page.locator(".st-key-audit summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile(re.escape(site.url)))
    settle(page)
    look(page, site)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(start_button(page)).to_be_disabled()
    assert site.provider.wrong == []


@pytest.mark.parametrize(("person", "named"), [("Bob", "bob@example.com"), ("Mallory", "3")])
def test_who_signed_in_without_the_role_is_told_so(
    site: Site, open_tab: Tab, person: str, named: str
) -> None:
    """Mallory says to be Alice, but the provider does not vouch for that address."""
    page = arrive(site, open_tab)
    sign_in(page, site, person)
    expect(page.get_by_text(saying(f"signed in as {named}, who may neither launch"))).to_be_visible()
    expect(start_button(page)).to_be_disabled()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_no_secret_of_the_sign_in_is_found(site: Site, open_tab: Tab) -> None:
    page = arrive(site, open_tab)
    sign_in(page, site, "Alice")
    hidden = (COOKIE_SECRET, site.provider.client_secret)
    kept = [file for file in site.warehouse.settings.data_dir.rglob("*") if file.is_file()]
    for told in (
        page.content(),
        site.log.read_text(),
        *(file.read_bytes().decode("latin-1") for file in kept),
    ):
        assert not [secret for secret in hidden if secret in told]
    assert "Traceback" not in site.log.read_text()
