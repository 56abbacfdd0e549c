"""While nothing is stored every page says so, and answers as always."""

from pathlib import Path

import streamlit as st

from tests.collectors.processes import wait_for
from tests.dashboard import worlds
from tests.dashboard.conftest import PAGES, Open, texts
from tests.faults.small_disk import tmpfs
from tests.faults.storing import in_state
from tests.servers.warehouse import running_warehouse


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
