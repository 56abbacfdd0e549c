"""Each row of docs/features.md names a test that exists."""

import ast

import pytest

from tests.docs.pages import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "features.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| what works |")
]


@pytest.mark.parametrize(("feature", "test"), ROWS)
def test_a_feature_has_a_test(feature: str, test: str) -> None:
    assert feature
    path, _, name = test.strip("`").partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    names = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
    assert name.startswith("test_")
    assert name in names


def test_no_feature_is_told_twice() -> None:
    features = [row[0] for row in ROWS]
    assert len(features) == len(set(features)) > 0
