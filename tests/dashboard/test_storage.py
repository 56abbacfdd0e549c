"""While nothing is stored every page says so, and answers as always."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import streamlit as st

from tests.collectors.processes import wait_for
from tests.dashboard import worlds
from tests.dashboard.conftest import PAGES, Open, texts
from tests.faults.small_disk import tmpfs
from tests.faults.storing import in_state
from tests.servers.warehouse import running_warehouse
from warehouse.model import now


def test_every_page_says_that_storage_is_paused_and_still_answers(tmp_path: Path, open_page: Open) -> None:
    with (
        tmpfs(tmp_path / "disk", 96) as disk,
        running_warehouse(tmp_path, data_dir=disk.folder / "data") as warehouse,
    ):
        with warehouse.client("collect") as client:
            worlds.plenty(client, minutes=30)
        disk.fill(leave=5_000_000)
        wait_for(in_state(warehouse, "paused"))
        for page in PAGES:
            app = open_page(warehouse, page, range="1h")
            assert not app.exception
            banner = app.error[0]
            assert banner.proto.title == "Storage is paused: the disk is nearly full"
            said = banner.value.replace("\\", "")
            assert "5.0 MB free, 10 MB are kept in reserve. Nothing was stored since" in said
            assert "collectors keep their measurements" in said
            assert "Free space on the warehouse's disk" in said
            assert "away" not in texts(app)
        disk.empty()
        wait_for(in_state(warehouse, "ok"))
        st.cache_data.clear()
        app = open_page(warehouse, "overview", range="1h")
        assert "Storage" not in " ".join(str(error.proto.title) for error in app.error)


def test_a_page_says_that_storing_is_catching_up_and_goes_on(
    tmp_path: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_warehouse(tmp_path) as warehouse:
        with warehouse.client("collect") as client:
            worlds.plenty(client, minutes=30)
        told = {
            "state": "catching_up",
            "reason": "the compacted file takes the place of its file",
            "since_at": now() - timedelta(seconds=3),
        }
        with monkeypatch.context() as patching:
            patching.setattr("dashboard.data.storage", lambda: told)
            app = open_page(warehouse, range="1h")
        assert not app.exception
        (banner,) = [info for info in app.info if info.proto.title == "Storing is catching up"]
        since = r"Measurements wait since \d\d:\d\d:\d\d \(\d+ s ago\)"
        assert re.match(f"{since}: the compacted file takes the place of its file", banner.value)
        assert not app.error
        app = open_page(warehouse, range="1h")
        assert "catching up" not in " ".join(str(info.proto.title) for info in app.info)
