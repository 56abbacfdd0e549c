"""axe-core on every page: nothing but Streamlit's own markup may break a rule."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.e2e.browsing import PAGES
from tests.e2e.conftest import OpenTab

STREAMLITS_OWN = {
    "list": "the header's button group puts separators between its items",
    "listitem": "as above",
    "svg-img-alt": "Plotly's drawings carry no text of their own; `alt` names the figure",
}
"""Rules that Streamlit's own markup breaks, and how; nothing of ours can mend them."""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_breaks_no_rule_of_accessibility(
    open_tab: OpenTab, dashboard: str, name: str, *, dark: bool
) -> None:
    visit = open_tab(dashboard, dark=dark).open(name, range="6h", prev="1")
    found = Axe().run(visit.page).response["violations"]
    ours = [
        f"{rule['id']}: {rule['help']}: {node['html'][:300]} {node.get('failureSummary', '')[:300]}"
        for rule in found
        if rule["id"] not in STREAMLITS_OWN
        for node in rule["nodes"]
    ]
    assert ours == []
