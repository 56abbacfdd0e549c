"""What Streamlit keeps of a tab is bounded: widgets that are no longer shown are forgotten.

A chart that can be dragged on is a widget whose id is made of its data, so each run of a live page makes
new ones. Streamlit drops the values of those that are gone, but keeps their callbacks with all these refer
to, and the way back from id to key, for as long as the tab is open.
"""

from __future__ import annotations

from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx
from streamlit.runtime.state import session_state
from streamlit.runtime.state.session_state import SessionState


def forget_widgets() -> None:
    """Have every tab forget the widgets that its last run did not show. Once in a process."""
    theirs = SessionState._remove_stale_widgets

    def ours(self: SessionState, active_widget_ids: frozenset[str]) -> None:
        theirs(self, active_widget_ids)
        _forget(self, active_widget_ids)

    SessionState._remove_stale_widgets = ours  # type: ignore[method-assign]


def _forget(state: SessionState, active: frozenset[str]) -> None:
    """Keep what is known of those that Streamlit keeps the values of."""
    context = get_script_run_ctx()
    if context is None:
        return
    widgets, keys = state._new_widget_state, state._key_id_mapper
    widgets.widget_metadata = {
        name: known
        for name, known in widgets.widget_metadata.items()
        if not session_state._is_stale_widget(known, active, context.fragment_ids_this_run)
    }
    keys.set_key_id_mapping(keys._key_id_mapping)
