"""The guard against processes that tests leave behind does guard."""

import pytest

from tests.cli.running import ROOT

pytest_plugins = ["pytester"]


def test_a_test_that_leaves_a_process_fails(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text())
    pytester.makepyfile("""
        import subprocess, sys
        import pytest

        kept = []

        @pytest.fixture(scope="module")
        def shared():
            process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            yield
            process.kill(), process.wait()

        def test_tidy(shared):
            subprocess.run([sys.executable, "-c", ""], check=True)

        def test_untidy(shared):
            kept.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(61)"]))
    """)
    result = pytester.runpytest_subprocess("-W", "ignore")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*left running: *time.sleep(61)*"])
