"""docs/databases.md tells every state that a database's watch may be in, and no other."""

from tests.docs.pages import ROOT, tables
from warehouse.model import DatabaseCondition


def test_every_state_is_documented_and_no_other() -> None:
    documented = dict(tables(ROOT / "docs" / "databases.md"))["States, and what to do"]
    states = [row["state"].strip("`") for row in documented]
    assert sorted(states) == sorted(set(DatabaseCondition) - {DatabaseCondition.OK})
    assert all(row["what to do"] for row in documented)
