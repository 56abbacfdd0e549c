"""Every part started a second time: it exits 75, names the process that runs, and leaves it alone."""

from collections.abc import Iterator

import pytest

from cli.presence import present
from tests.cli.children import wait_for
from tests.cli.running import perfhouse
from tests.cli.test_up import WATCHED, Up
from tests.servers.ports import free_port
from tests.servers.warehouse import write_config

PARTS = ("warehouse", "collect", "dashboard", "demo")
EX_TEMPFAIL = 75


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Everything, started once."""
    folder = tmp_path_factory.mktemp("twice")
    with Up(write_config(folder, WATCHED.format(port=free_port())), folder / "up.log") as up:
        up.wait_ready()
        wait_for(lambda: all(present(up.settings, name) for name in PARTS))
        yield up
        up.process.terminate()
        up.process.wait(30)


@pytest.mark.parametrize("part", PARTS)
def test_a_second_start_of_a_part_exits_75_and_names_the_first(running: Up, part: str) -> None:
    before = {name: present(running.settings, name) for name in PARTS}
    first = before[part]
    assert first is not None
    second = perfhouse(part, config=running.config)
    assert second.returncode == EX_TEMPFAIL, second.stderr
    assert str(first.pid) in second.stderr
    assert {name: present(running.settings, name) for name in PARTS} == before
    assert "starting again" not in running.said


def test_a_second_up_exits_75_and_starts_nothing(running: Up) -> None:
    before = {name: present(running.settings, name) for name in PARTS}
    second = perfhouse("up", config=running.config)
    assert second.returncode == EX_TEMPFAIL, second.stderr
    for name in ("warehouse", "dashboard", "demo"):
        first = before[name]
        assert first is not None
        assert str(first.pid) in second.stderr
    assert {name: present(running.settings, name) for name in PARTS} == before
    assert running.process.poll() is None
    assert "starting again" not in running.said
