"""Hostile texts in every place of a configuration: refused with words, or taken as data and probed so."""

from pathlib import Path

import pytest

from tests.cli.running import perfhouse
from tests.collectors.processes import QUICK, asked, counting_target, running_daemon, wait_for
from tests.hostile.texts import FRAGMENTS, STEERS, as_name, corpus
from tests.servers.warehouse import WarehouseProcess, write_config
from warehouse.errors import ConfigurationError
from warehouse.settings import parse

AMOUNT = 10_000
CONFIGURED = 250
PROBED = 40


def toml(text: str) -> str:
    """The text as a basic string of TOML."""
    marks = (mark if mark >= " " and mark not in '"\\\x7f' else f"\\u{ord(mark):04x}" for mark in text)
    return f'"{"".join(marks)}"'


PLACES = (
    "{} = 1",
    "data_dir = {}",
    "[warehouse]\nhost = {0}\nallowed_hosts = [{0}]\nport = {0}",
    "[collectors]\nname = {0}\nwarehouse_url = {0}\ntoken = {{ env = {0} }}",
    "[collectors]\nwarehouse_url = 'https://x'\ntoken = {{ file = {0} }}",
    "[host]\nname = {0}\nprocesses = [{0}]",
    "[[target]]\nname = {0}\nurl = {0}\n[[target.endpoint]]\npath = {0}",
    "[[target]]\nname = {0}\nurl = 'http://x'\n[[target.endpoint]]\nname = {0}\npath = '/'\nbody = {0}",
    "[[target]]\nname = 'x'\nurl = 'http://x'\n[[target.endpoint]]\npath = '/'\nheaders = {{ {0} = {0} }}",
    "[[target]]\nname = 'x'\nurl = 'x'\n[[target.endpoint]]\npath = '/'\nexpect_json = {{ {0} = {0} }}",
    "[[target]]\nname = 'x'\nurl = 'http://x'\nca_file = {0}\n[[target.endpoint]]\npath = '/'\nmethod = {0}",
    "[[database]]\nname = {0}\nengine = {0}\nurl = {{ env = {0} }}",
    "[target.{0}]\n[{0}]\n{0} = {0}",
)


@pytest.mark.parametrize("place", PLACES)
def test_each_text_is_taken_or_refused_in_lines_that_steer_nothing(place: str, tmp_path: Path) -> None:
    file = tmp_path / "perfhouse.toml"
    refused = 0
    for number, text in enumerate(corpus(AMOUNT)):
        variables = (
            {"PERFHOUSE_HOST__NAME": text, f"PERFHOUSE_{as_name(text)}": text} if number % 5 == 0 else {}
        )
        try:
            parse(place.format(toml(text)), file, variables, thorough="url" not in place)
        except ConfigurationError as error:
            refused += 1
            for problem in error.problems:
                assert not STEERS.search(problem), problem
    assert refused


def configuration(url: str, names: list[str]) -> str:
    """Each name as a target's, an endpoint's, a header's text and a part of an address."""
    parts = [QUICK]
    for number, name in enumerate(names):
        path = f"/{number}?" + "".join(
            mark for mark in name if mark.isascii() and mark.isprintable() and mark != " "
        )
        parts.append(
            f'[[target]]\nname = {toml(f"{number} {name}"[:200])}\nurl = "{url}"\ninterval_s = 0.5\n'
            f"[[target.endpoint]]\nname = {toml(name)}\npath = {toml(path[:1000])}\n"
            f"[[target.endpoint]]\npath = {toml(path.replace('?', '/')[:1000])}\n"
            f"expect_text = {toml(name)}\nexpect_json = {{ {toml(name)} = {toml(name)} }}\n"
        )
    return "\n".join(parts)


def test_check_tells_of_hostile_names_without_being_steered(tmp_path: Path) -> None:
    names = [as_name(text) for text in corpus(AMOUNT)[:CONFIGURED]]
    config = write_config(tmp_path, configuration("http://127.0.0.1:9", names))
    done = perfhouse("check", config=config)
    assert done.returncode == 0, done.stderr
    *told, last = done.stderr.splitlines()
    assert f"targets: {len(names)}" in last
    assert len(told) >= len(names), "each has a deadline that is not below its interval"
    assert all(line.startswith("note: target ") for line in told)
    assert not STEERS.search(done.stderr.replace("\n", ""))


def test_hostile_targets_are_probed_and_stored_under_their_names(
    served: WarehouseProcess, tmp_path: Path
) -> None:
    names = [as_name(text) for text in FRAGMENTS][:PROBED]
    with counting_target() as target:
        extra = configuration(target.url, names)
        config = served.config.with_name("collect.toml")
        config.write_text(served.config.read_text(encoding="utf-8") + extra, encoding="utf-8")
        with running_daemon(config) as daemon:
            wait_for(lambda: len(seen(served)) >= 2 * len(names))
            assert daemon.end()[0] == 0
        wanted = {(f"{number} {name}"[:200].strip(), name.strip()) for number, name in enumerate(names)}
        assert wanted <= seen(served)
        assert "Traceback" not in daemon.log
        assert all(line.startswith(("INFO", "WARNING")) for line in daemon.log.splitlines()), daemon.log
        refused = asked(served, "gaps").filter(reason="refused")
        assert refused.is_empty()


def seen(served: WarehouseProcess) -> set[tuple[str, str]]:
    """Targets and endpoints of which there are attempts."""
    return set(asked(served, "attempts").select("target", "endpoint").iter_rows())
