"""axe-core on every page, light and dark."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.e2e.conftest import PAGES, Shown, place

STREAMLITS_OWN: dict[str, str] = {
    "svg-img-alt": "the small lines of st.metric are Vega's drawings, which take no text of ours",
}
"""Rules Streamlit's own elements break, each with the reason why we cannot mend it."""


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("path", sorted(PAGES))
def test_axe_finds_nothing_of_ours(shown: Shown, open_tab: Callable[..., Page], path: str, mode: str) -> None:
    page = open_tab(place(shown, path, range="1h"), mode=mode)
    found = Axe().run(page).response["violations"]
    ours = {
        violation["id"]: [node["html"][:200] for node in violation["nodes"]][:4]
        for violation in found
        if violation["id"] not in STREAMLITS_OWN
    }
    assert not ours
