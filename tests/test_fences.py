"""Fences that import contracts cannot express."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = ("warehouse", "collectors", "dashboard", "loadtests", "demo", "cli")


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def calls(tree: ast.Module) -> Iterator[str]:
    """Dotted names of everything that is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_only_the_store_opens_duckdb() -> None:
    openers = {name for name, tree in modules(*OURS) if "duckdb.connect" in set(calls(tree))}
    assert openers == {"warehouse/store.py"}


def test_only_the_writers_change_rows() -> None:
    """Rows change where batches, runs and cells are stored, in retention, migrations, restoring.

    Restoring, compacting and simulating fill files of their own that nobody else has open; a scene names
    queries.
    """
    changing = ("INSERT INTO", "UPDATE ", "DELETE FROM")
    found = set()
    for name, tree in modules("warehouse"):
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        if any(isinstance(text, str) and text.lstrip().startswith(changing) for text in texts):
            found.add(name)
    storing = {f"warehouse/{name}.py" for name in ("ingest", "series", "shapes", "versions")}
    noting = ("runs", "run_orders", "run_rows", "audit", "marks", "regressions", "regression_life")
    running = {f"warehouse/{name}.py" for name in noting}
    pinned = {"warehouse/baselines.py", "warehouse/baseline_rows.py"}
    kept = {
        "warehouse/retention.py",
        "warehouse/restore.py",
        "warehouse/schema.py",
        "warehouse/compact.py",
        "warehouse/copying.py",
        "warehouse/cold.py",
    }
    makers = ("tiers", "placing", "rollups", "sum_made", "sum_tiers", "run_tiers", "objectives")
    celled = {f"warehouse/{name}.py" for name in makers}
    made_up = {f"warehouse/simulation/{name}.py" for name in ("build", "runs", "scene")}
    assert found == storing | running | pinned | celled | kept | made_up


def test_no_process_binds_every_interface() -> None:
    for name, tree in modules(*OURS):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                (".bind", "start_server", "Config")
            ):
                assert "0.0.0.0" not in ast.unparse(node), name


def test_nothing_reads_the_environment_when_it_is_imported() -> None:
    for name, tree in modules("warehouse", "collectors", "dashboard", "cli"):
        for statement in tree.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr):
                assert "os.environ" not in ast.unparse(statement), name
