"""docs/configuration.md and the settings say the same: every key, its default, its type, an example."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined, to_jsonable_python

from tests.docs.pages import ROOT, tables
from warehouse import settings
from warehouse.loads import StageSettings
from warehouse.scenarios import RequestSettings, TokenSettings

SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": settings.Settings,
    "`[warehouse]`": settings.WarehouseSettings,
    "`[dashboard]`": settings.DashboardSettings,
    "`[retention]`": settings.RetentionSettings,
    "`[cold]`": settings.ColdSettings,
    "`[collectors]`": settings.CollectorsSettings,
    "`[regressions]`": settings.RegressionSettings,
    "`[demo]`": settings.DemoSettings,
    "`[host]`": settings.HostSettings,
    "`[[target]]`": settings.TargetSettings,
    "`[target.load]`": settings.LoadSettings,
    "`[[target.endpoint]]`": settings.EndpointSettings,
    "`[[database]]`": settings.DatabaseSettings,
    "`[[preset]]`": settings.PresetSettings,
    "`[[preset.stage]]`": StageSettings,
    "`[[scenario]]`": settings.ScenarioSettings,
    "`[scenario.token]`": TokenSettings,
    "`[[scenario.request]]`": RequestSettings,
    "`[[schedule]]`": settings.ScheduleSettings,
    "`[agent]`": settings.AgentSettings,
    "`[access]`": settings.AccessSettings,
}
NOT_A_KEY = {"path"}
"""Fields of Settings that no file sets: `path` is the file itself."""

TYPES = {
    "path": (str,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "secret": (dict,),
    "table": (dict,),
    "table or list": (dict, list),
    "table of strings and secrets": (dict,),
    "table of strings": (dict,),
    "number or list of numbers": (int, float, list),
    "list of strings": (list,),
    "list of integers": (list,),
    "list of tables": (list,),
}

DOCUMENTED = dict(tables(ROOT / "docs" / "configuration.md"))
ROWS = [(section, row) for section, rows in DOCUMENTED.items() for row in rows]


def test_every_section_is_documented_and_no_other() -> None:
    assert list(DOCUMENTED) == list(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_and_no_other(section: str) -> None:
    keys = [row["key"].strip("`") for row in DOCUMENTED[section]]
    fields = set(SECTIONS[section].model_fields)
    if SECTIONS[section] is settings.Settings:
        fields -= NOT_A_KEY
    assert sorted(keys) == sorted(fields)
    assert all(row["meaning"] for row in DOCUMENTED[section])


@pytest.mark.parametrize(("section", "row"), ROWS, ids=lambda value: str(value)[:30])
def test_the_default_is_the_real_one(section: str, row: dict[str, str]) -> None:
    field = SECTIONS[section].model_fields[row["key"].strip("`")]
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, BaseModel) or (row["type"] in ("table", "list of tables") and not row["default"]):
        assert row["default"] == ""
    elif default is PydanticUndefined:
        assert row["default"] == "required"
    elif default is None:
        assert row["default"] == "none"
    else:
        assert _toml(row["default"]) == to_jsonable_python(default)


@pytest.mark.parametrize(("section", "row"), ROWS, ids=lambda value: str(value)[:30])
def test_the_example_is_of_the_type_and_accepted(section: str, row: dict[str, str]) -> None:
    kinds = TYPES[row["type"]]
    if not row["example"]:
        assert row["meaning"].startswith("See [")
        return
    value = _toml(row["example"])
    assert isinstance(value, kinds)
    assert bool in kinds or not isinstance(value, bool)
    field = SECTIONS[section].model_fields[row["key"].strip("`")]
    accepted: Any = TypeAdapter(field.rebuild_annotation()).validate_python(value)
    assert accepted is not None
    assert value != field.default


def test_the_secret_examples_are_configurations() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    examples = [line for line in text.splitlines() if line.startswith("headers = ")]
    assert len(examples) == 2
    for example in examples:
        target = f'[[target]]\nname = "a"\nurl = "http://a"\n{example}\n[[target.endpoint]]\npath = "/"'
        assert settings.parse(target, Path("/x.toml"), {}).target[0].headers


def test_the_variables_are_overrides() -> None:
    environment = {
        "PERFHOUSE_WAREHOUSE__PORT": "9620",
        "PERFHOUSE_DEMO__ENABLED": "false",
        "PERFHOUSE_DATA_DIR": "/var/lib/perfhouse",
    }
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert all(f"`{name}={value}`" in text for name, value in environment.items())
    overridden = settings.parse("", Path("/x.toml"), environment)
    assert overridden.warehouse.port == 9620
    assert overridden.data_dir == Path("/var/lib/perfhouse")


def _toml(cell: str) -> Any:
    return tomllib.loads(f"value = {cell.strip('`')}")["value"]
