"""`check` notes what is right and may still surprise."""

from pathlib import Path

from tests.cli.running import ROOT, perfhouse


def test_check_notes_a_deadline_that_is_not_below_the_interval(tmp_path: Path) -> None:
    config = tmp_path / "slow.toml"
    config.write_text(
        '[[target]]\nname = "a"\nurl = "http://a"\ninterval_s = 2\ndeadline_s = 2\nendpoint = ['
        '{ path = "/equal" }, { path = "/longer", deadline_s = 2.5 }, '
        '{ path = "/shorter", deadline_s = 1.5 }, { path = "/rarer", interval_s = 5 }]\n'
    )
    told = [line for line in perfhouse("check", config=config).stderr.splitlines() if "understated" in line]
    assert [line.partition(": an answer")[0] for line in told] == [
        "note: target a: GET /equal has a deadline_s of 2, not below its interval_s of 2",
        "note: target a: GET /longer has a deadline_s of 2.5, not below its interval_s of 2",
    ]


def test_check_finds_a_databases_address_and_notes_its_deadline(tmp_path: Path) -> None:
    config = tmp_path / "database.toml"
    config.write_text(
        '[[database]]\nname = "shop"\nengine = "postgres"\nurl = { env = "SHOP_URL" }\n'
        "interval_s = 5\ndeadline_s = 5\n"
    )
    missing = perfhouse("check", config=config)
    assert missing.returncode != 0
    assert "database[1].url: environment variable SHOP_URL" in missing.stderr
    done = perfhouse("check", config=config, SHOP_URL="postgresql://watcher:hunter2@db/shop")
    assert done.returncode == 0
    assert "databases: 1" in done.stderr
    assert "database shop has a deadline_s of 5, not below its interval_s of 5" in done.stderr
    assert "nothing is watched" not in done.stderr
    assert "hunter2" not in done.stderr


def test_what_we_deliver_has_deadlines_below_its_intervals(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    assert perfhouse("init", "--url", "https://api.example.com", config=own).returncode == 0
    for config in (ROOT / "perfhouse.toml", own):
        done = perfhouse("check", config=config)
        assert done.returncode == 0
        assert "understated" not in done.stderr


def test_check_notes_what_may_surprise(tmp_path: Path) -> None:
    config = tmp_path / "odd.toml"
    config.write_text(
        '[warehouse]\nhost = "0.0.0.0"\nport = 1\n[[target]]\nname = "a"\nurl = "http://far.example"\n'
        'headers = { Authorization = { env = "SECRET" } }\nendpoint = [{ path = "/" }]\n'
    )
    done = perfhouse("check", config=config, SECRET="x")
    assert done.returncode == 0
    assert "warehouse.host: 0.0.0.0 is open to other machines" in done.stderr
    assert "target a: its secret headers travel unencrypted" in done.stderr
    config.write_text(f'data_dir = "{config}/data"')
    done = perfhouse("check", config=config)
    assert "nothing is watched" in done.stderr
    assert f"data_dir: {config}/data cannot be written" in done.stderr


def test_check_notes_an_agent_that_others_can_reach(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('[host]\n[agent]\nbind = "10.0.0.5"\n')
    assert "note: agent.bind: whoever reaches 10.0.0.5" in perfhouse("check", config=config).stderr
    config.write_text("[host]\n")
    assert "agent.bind" not in perfhouse("check", config=config).stderr


def test_check_names_every_cron_that_is_none(tmp_path: Path) -> None:
    config = tmp_path / "schedule.toml"
    target = '[[target]]\nname = "a"\nurl = "http://a"\nendpoint = [{ path = "/" }]\n'
    target += "load = { users = 5, requests_per_s = 10, duration_s = 600 }\n"
    entry = '[[schedule]]\nname = "{}"\ncron = "{}"\ntarget = "a"\npreset = "smoke"\n'
    config.write_text(target + entry.format("odd", "61 * * * *") + entry.format("word", "x * * * *"))
    done = perfhouse("check", config=config)
    assert done.returncode == 78
    assert "schedule odd: cron" in done.stderr
    assert "schedule word: cron" in done.stderr
    config.write_text(target + entry.format("fine", "30 2 * * 1-5"))
    assert perfhouse("check", config=config).returncode == 0
