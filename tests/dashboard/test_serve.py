"""The dashboard asks nobody outside."""

import pytest
from streamlit import net_util
from streamlit.web.server import server_util

from dashboard import serve


def test_a_foreign_origin_is_refused_without_a_question_to_the_internet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(net_util, "_make_blocking_http_get", lambda *given, **_: asked.append(given))
    monkeypatch.setattr(net_util, "_external_ip", None)
    monkeypatch.setattr(net_util, "get_external_ip", net_util.get_external_ip)
    assert not server_util.is_url_from_allowed_origins("http://evil.example")
    assert asked, "Streamlit no longer asks: this module can go"
    asked.clear()
    serve.stay_home()
    assert not server_util.is_url_from_allowed_origins("http://evil.example")
    assert asked == []
