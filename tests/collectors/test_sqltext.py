"""Query shapes: one for every spelling of the literals, and no literal in any of them."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors.sqltext import Dialect, digest_query
from warehouse.model import LONGEST_QUERY, QueryCategory

POSTGRES, MYSQL = Dialect.POSTGRES, Dialect.MYSQL
SECRET = "hunter2"


def shape_of(text: str, dialect: Dialect = POSTGRES) -> str:
    return digest_query(text, dialect).query


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select * from t where a in (1)", "SELECT *\n  FROM t WHERE a IN ($1, $2, $3 /*, ... */)"),
        ("select 1 from t where (a, b) in (($1,$2))", "select 1 from t where (a,b) in ((1,2),(3,4),(5,6))"),
        (
            "insert into t values (1, 'x') on conflict do nothing",
            "INSERT INTO t VALUES ($1,$2),($3,$4),($5,$6) ON CONFLICT DO NOTHING",
        ),
        ("insert into t (a, b) values (1, 'x')", "INSERT INTO t (a,b) VALUES ($1,$2),($3,$4),($5,$6)"),
        ("select x from t where a = any(array[1])", "select x from t where a = ANY (ARRAY[$1, $2, $3])"),
        ("select x from t where a in ($1::int)", "select x from t where a in ($1::int, $2::int)"),
        ("select $1", "select ?"),
        ("select :name", "select 'x' -- said by an application"),
        ("select E'it\\'s', 'x'", "select $tag$ it's $tag$, b'01'"),
        ("select a from t where b = -5", "SELECT a FROM T WHERE b=5"),
        ("select a /* one /* nested */ comment */ from t;", "select a from t"),
        ("commit", "COMMIT;"),
    ],
)
def test_spellings_of_one_query_are_one_shape(one: str, other: str) -> None:
    assert shape_of(one) == shape_of(other)
    assert digest_query(one, POSTGRES).shape == digest_query(other, POSTGRES).shape


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select a from t where b - 5 > 0", "select a from t where b > 0"),
        ("select a from t", "select a from u"),
        ('select "A" from t', "select a from t"),
        ("select substr(a, 1)", "select substr(a, 1, 2)"),
        ("insert into t values (1, 2)", "insert into t values (1, 2, 3)"),
        ("select a from t where b in (1)", "select a from t where b not in (1)"),
        ("select b::int", "select b::text"),
    ],
)
def test_different_queries_are_different_shapes(one: str, other: str) -> None:
    assert shape_of(one) != shape_of(other)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (
            "select a.id, count(*) from Invoices a where a.total>=$1 order by 2 limit 3",
            "SELECT a.id, count(*) FROM invoices a WHERE a.total >= ? ORDER BY ? LIMIT ?",
        ),
        ("EXPLAIN (analyze) select 'x'", "EXPLAIN (ANALYZE) SELECT ?"),
        ("call invoices.close(12, 'x')", "CALL invoices.close(?, ?)"),
        (f"alter role bob password '{SECRET}'", "ALTER ROLE ..."),
        (f"create user {SECRET} password 'x'", "CREATE USER ..."),
        (f"create user mapping for x server y options (password '{SECRET}')", "CREATE USER MAPPING ..."),
        (f"create subscription s connection 'password={SECRET}' publication p", "CREATE SUBSCRIPTION ..."),
        (f"explain analyze alter user x password '{SECRET}'", "EXPLAIN ..."),
        (f"do $$ begin perform '{SECRET}'; end $$", "DO ..."),
        (f"copy (select {SECRET} from t) to stdout", "COPY ..."),
        (f"set app.user = {SECRET}", "SET ..."),
        (f"security label on role x is '{SECRET}'", "SECURITY LABEL ..."),
        (f"comment on table t is '{SECRET}'", "COMMENT ..."),
        (f"notify {SECRET}, 'x'", "NOTIFY ..."),
        (f"select 1; alter user x password {SECRET}", "SELECT ..."),
        (f"{SECRET} 'of no end", "..."),
        (f"select '{SECRET}", "SELECT ..."),
        (f"select a /* {SECRET}", "SELECT ..."),
        (f"select 'it\\' {SECRET} ' from t, 'x'", "SELECT ..."),
        (f'select 1 as "bob@{SECRET}.com"', 'SELECT ? AS "?"'),
        ("", "..."),
    ],
)
def test_what_is_kept_of_a_text(text: str, query: str) -> None:
    assert shape_of(text) == query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("SELECT `a` . `b` FROM `t` WHERE `x` IN (...)", "SELECT `a`.`b` FROM `t` WHERE `x` IN (?)"),
        ("INSERT INTO `T` VALUES (...) /* , ... */", "INSERT INTO `T` VALUES (?)"),
        (f'select "{SECRET}", 1 # {SECRET}', "SELECT ?, ?"),
        (f"select 1 -- {SECRET}\n, 0xff", "SELECT ?, ?"),
        (f"select /*! '{SECRET}' , */ @@version", "SELECT @@version"),
        (f"grant all on t to bob identified by '{SECRET}'", "GRANT ..."),
        (f"set password = '{SECRET}'", "SET ..."),
        (f"select 'it\\'s {SECRET}'", "SELECT ..."),
        ("SELECT `a` FROM `t` WHERE `b` = ? AND ...", "SELECT `a` FROM `t` WHERE `b` = ? AND ?"),
    ],
)
def test_mysql_has_rules_of_its_own(text: str, query: str) -> None:
    assert shape_of(text, MYSQL) == query


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("(select 1) union (select 2)", QueryCategory.READ),
        ("with a as (select 1 for update) select * from a", QueryCategory.READ),
        ("with a as (delete from t returning *) select * from a", QueryCategory.WRITE),
        ("with a as (select 1) insert into t select * from a", QueryCategory.WRITE),
        ("merge into t using u on true when matched then delete", QueryCategory.WRITE),
        ("truncate t", QueryCategory.DDL),
        ("create table t (a int)", QueryCategory.DDL),
        ("savepoint x", QueryCategory.TRANSACTION),
        ("prepare transaction 'x'", QueryCategory.TRANSACTION),
        ("vacuum t", QueryCategory.UTILITY),
        ("explain delete from t", QueryCategory.UTILITY),
        ("select 'unreadable", QueryCategory.READ),
        ("whatever", QueryCategory.UNKNOWN),
    ],
)
def test_category(text: str, category: QueryCategory) -> None:
    assert digest_query(text, POSTGRES).category is category


def test_a_long_text_is_cut_and_its_shape_is_of_the_whole() -> None:
    columns = [f"column_number_{number}" for number in range(5_000)]
    one = digest_query(f"select {', '.join(columns)} from t", POSTGRES)
    other = digest_query(f"select {', '.join(columns)} from u", POSTGRES)
    assert len(one.query) == LONGEST_QUERY
    assert one.query == other.query
    assert one.shape != other.shape


@pytest.mark.parametrize("text", ["select " + "(" * 5_000, "select '" + "x" * 3_000_000, "select $q$ a $$ b"])
def test_what_is_too_deep_too_long_or_open_is_known_by_its_command(text: str) -> None:
    assert shape_of(text) == "SELECT ..."


def test_a_list_of_twenty_thousand_is_the_shape_of_one() -> None:
    parameters = ", ".join(f"${number}" for number in range(1, 20_001))
    assert shape_of(f"select a from t where b in ({parameters})") == "SELECT a FROM t WHERE b IN (?)"


LETTERS = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789"), min_size=6, max_size=12)
SECRETS = st.one_of(
    LETTERS.map(lambda word: f"zz{word}"),
    LETTERS.map(lambda word: f"zz{word}@example.com"),
    LETTERS.map(lambda word: f"zz '{word}\\ $q$ -- /* x"),
    st.integers(10**7, 10**9).map(str),
)


def quoted(secret: str) -> st.SearchStrategy[str]:
    """A literal or comment of PostgreSQL that holds the secret."""
    doubled = secret.replace("'", "''")
    escaped = secret.replace("\\", "\\\\").replace("'", "\\'")
    forms = [f"'{doubled}'", f"E'{escaped}'", f"e'\\\\{escaped}\\''", f"N'{doubled}'", f"U&'{doubled}'"]
    forms += [f"$tag${secret}$tag$", f"'' /* /* {secret.replace('/*', '').replace('*/', '')} */ '*/", "?"]
    forms += [f"$1 -- {secret}\n", f"'x'\n'{doubled}'", f"E'x\\\n'\n'{escaped}'", f"'\\' || '{doubled}\\''"]
    if secret.isdigit():
        forms += [secret, f"-{secret}", f"{secret}.{secret}", f"1e{secret[:3]}", f".{secret}"]
    return st.sampled_from(forms)


TEMPLATES = (
    "select a from t where b = {}",
    "insert into t (a) values ({})",
    "with x as (select {}) delete from t where a in ({})",
    "explain (analyze) update t set a = {} where b ~ {}",
    "alter role bob password {}",
    "call f({})",
    "create table t (a text default {})",
    "select f({}) from t order by a limit {}",
    "copy t from {}",
    "do {}",
    "select a from t where b = {} and c = '",
    "select a from t where b = {} and c = /* ",
)


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, str]:
    secret = draw(SECRETS)
    text = draw(st.sampled_from(TEMPLATES))
    while "{}" in text:
        text = text.replace("{}", draw(quoted(secret)), 1)
    cut = draw(st.integers(0, len(text)) | st.just(len(text)))
    return secret, text[:cut]


@given(planted())
def test_no_planted_literal_is_ever_in_the_shape(case: tuple[str, str]) -> None:
    secret, text = case
    query = digest_query(text, POSTGRES).query
    for word in secret.replace("@", " ").replace("'", " ").replace("\\", " ").split():
        if len(word) > 5 and word != "example.com":
            assert word not in query


@given(LETTERS, st.text(st.sampled_from(" '\\x"), max_size=8), st.text(st.sampled_from(" '\\x,"), max_size=8))
@example("secret", "'\\' ", " ''")
def test_no_literal_is_kept_however_backslashes_are_read(secret: str, before: str, after: str) -> None:
    """With standard_conforming_strings off a backslash escapes; whoever reads the text cannot know."""
    text = f"select {before}zz{secret}{after}"
    for escapes in (False, True):
        assume_inside = _is_inside(text, text.index("zz"), escapes=escapes)
        if assume_inside:
            assert f"zz{secret}" not in digest_query(text, POSTGRES).query


def _is_inside(text: str, at: int, *, escapes: bool) -> bool:
    """Whether a position is inside a string, by one of the two readings."""
    inside, skip = False, False
    for character in text[:at]:
        if skip:
            skip = False
        elif inside and escapes and character == "\\":
            skip = True
        elif character == "'":
            inside = not inside
    return inside


@given(st.text(max_size=200), st.sampled_from(list(Dialect)))
def test_any_text_has_a_shape(text: str, dialect: Dialect) -> None:
    digest = digest_query(text, dialect)
    assert digest.shape == hashlib.sha256(digest.query.encode()).hexdigest()[:16]
    assert len(digest.query) <= LONGEST_QUERY


OPERANDS = st.sampled_from(["a", '"B"', "t.b", "-1", "'x'", "$1", "E'y\\''", "null", "f(a, -2)", "now()"])
LISTS = st.lists(OPERANDS, min_size=1, max_size=4).map(", ".join)
CONDITIONS = st.recursive(
    st.one_of(
        st.builds("{} in ({})".format, OPERANDS, LISTS),
        st.builds(
            "{}{}{}".format, OPERANDS, st.sampled_from(["=", " - ", "->>", "::text = ", "+"]), OPERANDS
        ),
        st.builds("{} = any(array[{}])".format, OPERANDS, LISTS),
        st.builds("({}) in (values ({}), ({}))".format, LISTS, LISTS, LISTS),
    ),
    lambda inner: st.builds("({} or {}) and not {}".format, inner, inner, inner),
    max_leaves=6,
)


@given(CONDITIONS)
def test_a_shape_of_a_shape_is_itself(condition: str) -> None:
    query = shape_of(f"select a from t where {condition}")
    assert "..." not in query
    assert shape_of(query) == query
