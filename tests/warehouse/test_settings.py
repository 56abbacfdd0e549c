"""The configuration: everything wrong is told at once, and no secret is ever echoed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import example, given
from hypothesis import strategies as st

from warehouse.errors import ConfigurationError
from warehouse.settings import Settings, load, parse

FILE = Path("/etc/perfhouse/perfhouse.toml")
MARKER = "hunter2-marker"
ONE_TARGET = '[[target]]\nname = "a"\nurl = "https://a.example"\n[[target.endpoint]]\npath = "/"\n'


def settings_of(text: str, environment: Mapping[str, str] | None = None, **options: bool) -> Settings:
    return parse(text, FILE, environment or {}, **options)


def problems_of(text: str, environment: Mapping[str, str] | None = None, **options: bool) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        settings_of(text, environment, **options)
    assert caught.value.exit_code == 78
    return [problem.removeprefix(f"{FILE}: ") for problem in caught.value.problems]


def test_an_empty_file_is_a_configuration() -> None:
    settings = settings_of("")
    assert settings.data_dir == FILE.parent / "data"
    assert settings.warehouse.url == "http://127.0.0.1:8620"
    assert settings.target == ()
    assert settings.host is None
    assert not settings.demo.enabled


def test_the_file_in_the_repository_is_right() -> None:
    settings = load(Path(__file__).parents[2] / "perfhouse.toml", {}, thorough=True)
    assert settings.demo.enabled
    assert [target.name for target in settings.target] == ["demo"]


def test_every_problem_is_told_at_once_with_key_expected_and_given() -> None:
    text = """
        data_dirr = "x"
        [warehouse]
        port = 99999
        row_cap = "many"
        [dashboard]
        port = 8000
        [demo]
        enabled = true
        [host]
        top = -1
        [[target]]
        name = "a"
        url = "ftp://a"
        [[target.endpoint]]
        path = "no-slash"
        connection = "new"
        json_body = "text"
        [[target.endpoint]]
        path = "/"
        [[target.endpoint]]
        path = "/"
        [[target]]
        name = "a"
        url = "https://b.example"
        headers = { Accept = 5 }
        endpoint = []
        [[target]]
    """
    assert sorted(problems_of(text)) == [
        "data_dirr: no such key, given a string",
        "host.top: expected greater than or equal to 0, given -1",
        "target: expected each name once, given more than once: a",
        "target[1].endpoint[1].connection: expected 'fresh' or 'keep', given 'new'",
        "target[1].endpoint[1].json_body: expected a table or a list",
        "target[1].endpoint[1].path: expected to match pattern '^/[^\\s]*$', given 'no-slash'",
        "target[1].url: expected an address such as https://api.example.com, given 'ftp://a'",
        "target[1]: expected each name once, given more than once: GET /",
        "target[2].endpoint: expected at least one, given none",
        "target[2].headers.Accept: expected a string, given an integer (not shown)",
        "target[3].endpoint: expected a value, given nothing",
        "target[3].name: expected a value, given nothing",
        "target[3].url: expected a value, given nothing",
        "the whole file: expected a port of its own for each part, given 8000, 8000",
        "warehouse.port: expected less than or equal to 65535, given 99999",
        "warehouse.row_cap: expected a whole number, given 'many'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = ", "expected TOML"),
        ("a = " + "[" * 5000, "expected TOML with numbers and nesting of a sane size"),
        ("a = " + "9" * 5000, "expected TOML with numbers and nesting of a sane size"),
        ('path = "/etc"', "path: no such key"),
        ('data_dir = "a\\u0000b"', "data_dir: expected a path without NUL"),
        ("[warehouse]\nport = 8501", "expected a port of its own for each part, given 8501, 8501"),
        (ONE_TARGET + '[[target]]\nname="a"\nurl="http://b"\nendpoint=[{path="/"}]', "more than once: a"),
        (ONE_TARGET + '[[target.endpoint]]\npath = "/?page=2"', "more than once: GET /"),
        (ONE_TARGET + 'body = "a"\njson_body = {}', "expected either body or json_body, given both"),
        ('[collectors]\nwarehouse_url = "https://w"', "expected both warehouse_url and token or neither"),
        ('[collectors]\ntoken = { env = "T" }', "expected both warehouse_url and token or neither"),
        ("[collectors]\ntoken = {}", "expected either { env"),
        ('[collectors]\ntoken = { env = "A", file = "b" }', "expected either { env"),
        ("[collectors]\nflush_s = nan", "collectors.flush_s: expected"),
        ("[warehouse]\ndeadline_s = inf", "warehouse.deadline_s: expected"),
        ("host = 1", "host: expected a table, given 1"),
        ("target = 1", "target: expected a list, given 1"),
        ("data_dir = 1", "data_dir: expected a path, given 1"),
        ("[warehouse]\nport = 1.5", "warehouse.port: expected a whole number, given 1.5"),
        ("[collectors]\nflush_s = 'x'", "collectors.flush_s: expected a number, given 'x'"),
        ("[demo]\nenabled = 'x'", "demo.enabled: expected true or false, given 'x'"),
        ("[demo]\nenabled = []", "demo.enabled: expected true or false, given a list"),
        (ONE_TARGET + "expect_json = 1", "expect_json: expected a table, given 1"),
        ("a = 1\na = 2\n", "line 2, column 6: expected TOML, cannot overwrite a value"),
        ("a = 1\nb = [1,", "line 2, the last: expected TOML, invalid value"),
    ],
)
def test_a_problem_is_told(text: str, problem: str) -> None:
    (told,) = problems_of(text)
    assert problem in told


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        "https://[::zz]",
        "https://a:port",
        "https://a:99999",
        f"https://me:{MARKER}@a",
        f"https://me:{MARKER}",
        f"https://a?token={MARKER}",
        f"https://a#{MARKER}",
        "https://a b",
        "https://a\\nb",
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    (problem,) = problems_of(ONE_TARGET.replace("https://a.example", url))
    assert problem.startswith("target[1].url: expected an address")
    assert MARKER not in problem or "@" not in url


def test_variables_lay_over_the_file_and_are_named_when_wrong() -> None:
    environment = {
        "PERFHOUSE_WAREHOUSE__PORT": "9000",
        "PERFHOUSE_DATA_DIR": "elsewhere",
        "PERFHOUSE_DEMO__ENABLED": "true",
        "PERFHOUSE_CONFIG": "/not/a/key",
        "UNRELATED": "x",
    }
    settings = settings_of("[warehouse]\nport = 1\nrow_cap = 500", environment)
    assert (settings.warehouse.port, settings.warehouse.row_cap) == (9000, 500)
    assert settings.data_dir == FILE.parent / "elsewhere"
    assert settings.demo.enabled
    variable = "environment variable PERFHOUSE_DEMO__PORT"
    assert problems_of("", {"PERFHOUSE_DEMO__PORT": "0", "PERFHOUSE_COLOUR": MARKER}) == [
        f"{variable}: demo.port: expected greater than or equal to 1, given '0'",
        "environment variable PERFHOUSE_COLOUR: colour: no such key, given a string",
    ]


@pytest.mark.parametrize("variable", ["PERFHOUSE_", "PERFHOUSE___", "PERFHOUSE_WAREHOUSE__PORT__X"])
def test_an_odd_variable_is_a_problem_and_no_crash(variable: str) -> None:
    assert problems_of("[warehouse]\nport = 1\n", {variable: "x"})


def test_relative_paths_are_taken_from_the_file() -> None:
    settings = settings_of(
        'data_dir = "../data"\n'
        + ONE_TARGET.replace("[[target.endpoint]]", 'ca_file = "ca.pem"\n[[target.endpoint]]')
        + 'headers = { Authorization = { file = "key" } }'
    )
    assert settings.data_dir == Path("/etc/data")
    assert settings.target[0].ca_file == FILE.parent / "ca.pem"
    header = settings.target[0].endpoint[0].headers["Authorization"]
    assert not isinstance(header, str)
    assert header.file == FILE.parent / "key"


@pytest.mark.parametrize(
    "text",
    [
        ONE_TARGET + f'headers = {{ Authorization = "{MARKER}" }}',
        ONE_TARGET + f'headers = {{ X-Api-Key = "{MARKER}" }}',
        ONE_TARGET + f'headers = {{ Set-Cookie = "{MARKER}" }}',
        ONE_TARGET + f'headers = {{ Authorization = {{ value = "{MARKER}" }} }}',
        ONE_TARGET + f'headers = {{ Authorization = ["{MARKER}"] }}',
        ONE_TARGET + f'headers = "Authorization: {MARKER}"',
        ONE_TARGET + f'header = {{ Authorization = "{MARKER}" }}',
        ONE_TARGET + f'json_body = "{MARKER}"',
        ONE_TARGET + f'pasword = "{MARKER}"',
        ONE_TARGET.replace('"/"', f'"?key={MARKER}"'),
        f'[collectors]\ntoken = "{MARKER}"',
        f'[collectors]\ntokn = "{MARKER}"',
        f'[collectors]\nwarehouse_url = "https://x:{MARKER}@w"\ntoken = {{ env = "T" }}',
        f'secrets = ["{MARKER}"]',
    ],
)
def test_secrets_in_the_file_are_refused_and_not_echoed(text: str) -> None:
    assert problems_of(text)
    assert MARKER not in "\n".join(problems_of(text))


def test_a_thorough_look_finds_all_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "a\nb")
    monkeypatch.setenv("BLANK", " ")
    monkeypatch.delenv("ABSENT", raising=False)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    text = (
        ONE_TARGET.replace("[[target.endpoint]]", f'ca_file = "{binary}"\n[[target.endpoint]]')
        + 'headers = { A = { env = "ABSENT" }, B = { env = "BLANK" }, C = { env = "LINES" }, '
        + f'D = {{ file = "{binary}" }}, E = {{ file = "{tmp_path}" }}, F = {{ file = "gone" }} }}\n'
        + '[warehouse]\nport = "x"\n'
    )
    problems = problems_of(text, thorough=True)
    where = "target[1].endpoint[1].headers"
    assert [problem for problem in problems if where in problem] == [
        f"{where}.A: environment variable ABSENT: expected a secret, given nothing",
        f"{where}.B: environment variable BLANK: expected a secret, given nothing",
        f"{where}.C: environment variable LINES: expected a secret of one line",
        f"{where}.D: {binary}: expected a readable file with a secret, not UTF-8",
        f"{where}.E: {tmp_path}: expected a readable file with a secret, Is a directory",
        f"{where}.F: {FILE.parent}/gone: expected a readable file with a secret, No such file or directory",
    ]
    assert any("target[1].ca_file: expected a readable file of certificates" in line for line in problems)
    assert any("warehouse.port" in line for line in problems)
    assert len(problems) == 8


def test_a_thorough_look_at_what_is_there_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "key").write_text(f" {MARKER}\n")
    monkeypatch.setenv("KEY", MARKER)
    settings = settings_of(
        ONE_TARGET.replace("[[target.endpoint]]", f'ca_file = "{tmp_path}/ca.pem"\n[[target.endpoint]]')
        + f'headers = {{ A = {{ env = "KEY" }}, B = {{ file = "{tmp_path}/key" }} }}',
        thorough=True,
    )
    headers = settings.target[0].endpoint[0].headers.values()
    assert [value.reveal() for value in headers if not isinstance(value, str)] == [MARKER, MARKER]
    assert MARKER not in repr(settings)


@pytest.mark.parametrize("content", [None, b"\xff", "a folder"])
def test_a_file_that_cannot_be_read_is_a_configuration_error(
    tmp_path: Path, content: bytes | str | None
) -> None:
    file = tmp_path / "perfhouse.toml"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        file.mkdir()
    with pytest.raises(ConfigurationError, match=str(file)):
        load(file, {})


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8620"), ("::1", "http://[::1]:8620"), ("::", "http://[::1]:8620")],
)
def test_the_url_is_where_this_machine_finds_the_warehouse(host: str, url: str) -> None:
    assert settings_of(f'[warehouse]\nhost = "{host}"').warehouse.url == url


def test_a_configuration_cannot_be_changed() -> None:
    settings = settings_of("")
    with pytest.raises(ValueError, match="frozen"):
        settings.data_dir = Path("/")  # type: ignore[misc]


SCALARS = st.one_of(
    st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none(), st.just(MARKER)
)
KNOWN_KEYS = (
    *("data_dir", "warehouse", "port", "host", "target", "endpoint", "name", "url", "path", "headers"),
    *("Authorization", "token", "env", "file", "collectors", "json_body", "expect_json", "processes"),
)
KEYS = st.one_of(st.sampled_from(KNOWN_KEYS), st.text(max_size=8))
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4))
)


def as_toml(value: object) -> str:
    """Any value as inline TOML; keys and texts may hold anything."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, str):
        escaped = (f"\\U{ord(letter):08x}" for letter in value if not 0xD800 <= ord(letter) < 0xE000)
        return f'"{"".join(escaped)}"'
    return "nan" if value is None else repr(value)


@given(st.text())
@example("[[target]]\n[target]")
@example('"\\ud800" = 1')
def test_any_text_is_a_configuration_or_a_configuration_error(text: str) -> None:
    try:
        parse(text, FILE, {})
    except ConfigurationError as error:
        assert error.problems  # noqa: PT017 - both ends are right


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_toml_is_a_configuration_or_a_configuration_error(document: dict[str, Any]) -> None:
    text = "\n".join(f"{as_toml(key)} = {as_toml(value)}" for key, value in document.items())
    try:
        parse(text, FILE, {}, thorough=True)
    except ConfigurationError as error:
        assert error.problems  # noqa: PT017 - both ends are right


@given(st.dictionaries(st.from_regex(r"\APERFHOUSE_[A-Z_]{0,20}\Z"), st.text(max_size=10), max_size=4))
def test_any_environment_is_a_configuration_or_a_configuration_error(environment: dict[str, str]) -> None:
    try:
        parse("warehouse = 1", FILE, environment)
    except ConfigurationError as error:
        assert error.problems  # noqa: PT017 - both ends are right


@given(st.sampled_from(["headers", "token", "password", "body", "endpoint", "anything"]), VALUES)
def test_what_stands_under_a_secret_word_is_never_echoed(key: str, value: Any) -> None:
    told = ""
    for text in (f"{key} = {as_toml(value)}", f"[collectors]\n{key} = {as_toml(value)}"):
        try:
            parse(text, FILE, {})
        except ConfigurationError as error:
            told += str(error)
    assert MARKER not in told
