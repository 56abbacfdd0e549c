"""A tab that stays open and a dashboard that is asked for long keep no more than what is shown."""

from collections.abc import Callable

import pytest
from streamlit.runtime.caching.cache_data_api import _data_caches
from streamlit.runtime.state.session_state import SessionState
from streamlit.testing.v1 import AppTest

from dashboard import data
from dashboard.forget import forget_widgets
from tests.dashboard.conftest import Open
from tests.servers.warehouse import WarehouseProcess

RUNS = 6


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the dashboard's process."""
    monkeypatch.setattr(SessionState, "_remove_stale_widgets", SessionState._remove_stale_widgets)
    forget_widgets()


def kept(app: AppTest) -> tuple[int, int]:
    """Widgets and ids that the tab remembers."""
    state = app.session_state._state._state
    return len(state._new_widget_state.widget_metadata), len(state._key_id_mapper.id_key_mapping)


@pytest.mark.usefixtures("forgetful")
def test_a_tab_forgets_charts_that_were_drawn_anew(
    world: Callable[[str], WarehouseProcess], open_page: Open
) -> None:
    app = open_page(world("plenty"), range="15m")
    first = kept(app)
    for _ in range(RUNS):
        data.forget()
        app.run()
        assert not app.exception
    widgets, ids = kept(app)
    assert widgets <= first[0] + 1
    assert ids <= first[1] + 1


def locks() -> int:
    """Locks that Streamlit keeps for the questions asked."""
    groups = _data_caches._function_caches.values()
    return sum(len(cache._value_locks) for group in groups for cache in group.values())


def test_questions_asked_long_ago_leave_nothing(
    world: Callable[[str], WarehouseProcess], open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_page(world("plenty"))
    monkeypatch.setattr(data, "ASKED", 20)
    for n in range(60):
        answers = data.ask({"a": data.question("latency_summary", start=f"2026-01-01T00:00:{n:02}Z")})
        assert not data.away(answers)
        assert locks() < 40
