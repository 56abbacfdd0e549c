"""docs/commands.md and the command line say the same: every command, option and field of status."""

import re
import shlex
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.status import look
from perfhouse import app
from tests.docs.pages import FENCE, ROOT, pages, tables
from warehouse import errors
from warehouse.settings import parse

PAGE = ROOT / "docs" / "commands.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
TABLES = dict(tables(PAGE))


def commands(command: Any, path: tuple[str, ...] = ("perfhouse",)) -> dict[str, Any]:
    """Every command that does something, by what a person types, and the program itself."""
    if not hasattr(command, "commands"):
        return {" ".join(path): command}
    found: dict[str, Any] = {"perfhouse": command} if len(path) == 1 else {}
    for name, inner in command.commands.items():
        found |= commands(inner, (*path, name))
    return found


COMMANDS = commands(typer.main.get_command(app))


def spelled(parameter: Any) -> str:
    """A parameter as the page spells it: `--from WHEN`, `--force`, `question`."""
    if parameter.param_type_name == "argument":
        return str(parameter.name)
    (name,) = parameter.opts
    flag = getattr(parameter, "is_flag", False)
    return name if flag else f"{name} {parameter.metavar or 'TEXT'}"


def test_every_command_is_documented_and_no_other() -> None:
    assert list(COMMANDS) == SECTIONS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented_and_no_other(command: str) -> None:
    rows = TABLES.get(command, [])
    documented = [row["option"].strip("`") for row in rows if "option" in row]
    real = [spelled(parameter) for parameter in COMMANDS[command].params if parameter.name != "help"]
    assert sorted(documented) == sorted(real)
    assert all(row["meaning"] for row in rows)


def test_help_is_short_enough_to_be_read_whole() -> None:
    told = CliRunner().invoke(app, ["--help"]).output
    assert all(f"\n  {name}" in told for name in ("up", "status", "token"))
    assert "..." not in told.replace("[ARGS]...", "")


def test_every_exit_code_is_documented() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    kinds = [errors.PerfhouseError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert {kind.exit_code for kind in kinds if kind.__module__ == errors.__name__} | {0, 2} == codes


def test_every_field_of_status_is_documented_and_no_other() -> None:
    section = TEXT.partition("## perfhouse status")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \| (?:instant|boolean|list|object)", section, re.MULTILINE)
    report = look(parse("[warehouse]\nport = 1\n[dashboard]\nport = 2\n", ROOT / "nowhere.toml", {}))
    assert sorted(documented) == sorted(report)
    for part in report["parts"]:
        assert all(f"`{field}`" in section for field in part)
    assert all(f"`{field}`" in section for field in report["error"])


def examples() -> list[str]:
    """What the pages tell people to type after `perfhouse`."""
    fenced = "\n".join(block for page in pages() for block in FENCE.findall(page.read_text(encoding="utf-8")))
    return re.findall(r"^(?:.*/bin/| *)perfhouse (.+)$", fenced, re.MULTILINE)


@pytest.mark.parametrize("example", examples())
def test_an_example_is_a_command_with_options_that_exist(example: str) -> None:
    done = CliRunner().invoke(app, [*shlex.split(example), "--help"])
    assert done.exit_code == 0, done.output


def test_there_are_examples_and_make_knows_its_targets() -> None:
    assert len(examples()) >= 8
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    told = {
        target
        for page in pages()
        for target in re.findall(r"make (?:-C \S+ )?(\w+)`?$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"run", "test"} <= told <= set(targets)
