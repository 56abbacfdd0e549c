"""The file by which people sign in: used only where it is whole and its owner's alone, and never quoted."""

from pathlib import Path

import pytest

from tests.cli.running import perfhouse
from tests.servers.warehouse import write_config
from warehouse.signin import refuse_unusable

SECRET = "canary-" * 6
WHOLE = {
    "redirect_uri": "https://perf.example.com/oauth2callback",
    "cookie_secret": SECRET,
    "client_id": "perfhouse",
    "client_secret": SECRET,
    "server_metadata_url": "https://id.example.com/.well-known/openid-configuration",
}


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "sign-in.toml"
    file.write_text(text)
    file.chmod(mode)
    return file


def toml(**changed: str) -> str:
    return "[auth]\n" + "".join(f'{key} = "{value}"\n' for key, value in (WHOLE | changed).items())


def test_a_whole_private_file_is_used(tmp_path: Path) -> None:
    refuse_unusable(written(tmp_path, toml()))


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        (toml(), 0o640, "chmod 600"),
        (toml(), 0o604, "chmod 600"),
        (f'[auth]\ncookie_secret = "{SECRET}', 0o600, "expected TOML"),
        (f'auth = "{SECRET}"\n', 0o600, r"expected a table \[auth\]"),
        (toml(client_secret=""), 0o600, "client_secret"),
        (toml(redirect_uri=f"https://x/{SECRET}"), 0o600, "redirect_uri"),
        (toml(cookie_secret=SECRET[:31]), 0o600, "at least 32 characters"),
    ],
)
def test_anything_else_is_refused_without_a_quote(tmp_path: Path, text: str, mode: int, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        refuse_unusable(written(tmp_path, text, mode))
    assert SECRET[:20] not in str(caught.value)


def test_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sign-in\.toml: expected a readable file"):
        refuse_unusable(tmp_path / "sign-in.toml")


@pytest.mark.parametrize("command", ["check", "dashboard"])
def test_commands_refuse_a_file_that_others_can_read(tmp_path: Path, command: str) -> None:
    written(tmp_path, toml(), 0o644)
    config = write_config(tmp_path, '[access]\nsign_in_file = "sign-in.toml"\n')
    done = perfhouse(command, config=config)
    assert done.returncode == 78
    assert "chmod 600" in done.stderr
    assert SECRET not in done.stderr + done.stdout
