"""10,000 hostile texts through every function that shows, logs or exports text."""

import csv
import io
import json
import logging
import re

import polars as pl
import pyarrow as pa
import pytest
from markdown_it import MarkdownIt

from dashboard import format as fmt
from tests.hostile.conftest import SOAK
from tests.hostile.texts import FRAGMENTS, STEERS, SURROGATES, as_name, corpus
from warehouse.export import render
from warehouse.logs import OneLine
from warehouse.replies import frame_of
from warehouse.visible import visible

AMOUNT = 100_000 if SOAK else 10_000
MARKDOWN = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"])
MARKS = re.compile(r"(?<!\\)(?:\\\\)*[`*_{}\[\]()<>#+\-.!|~$&=^]")
"""A mark of Markdown that no backslash takes its meaning from."""

ADDRESS = re.compile(r"[a-z]:[^\u2060]|@[^\u2060]|www[^\u2060]")
"""What Streamlit's Markdown takes for an address, a directive or an emoji."""

FORMULA = re.compile(r"[\s\x00-\x20\u180e\u200b-\u200f\u2060-\u206f\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]")


@pytest.fixture(scope="module")
def texts() -> tuple[str, ...]:
    return (*corpus(AMOUNT), *SURROGATES)


def test_there_are_so_many_and_every_fragment_is_among_them(texts: tuple[str, ...]) -> None:
    assert len(set(texts)) >= AMOUNT
    assert {as_name(text) for text in FRAGMENTS} <= {as_name(text) for text in texts}


def test_markdown_shows_each_as_it_is(texts: tuple[str, ...]) -> None:
    for text in texts:
        plain = fmt.plain(text)
        assert not STEERS.search(plain), text
        assert not MARKS.search(plain), text
        assert not ADDRESS.search(plain), text
        shown = MARKDOWN.render(plain)
        assert shown == "" or re.fullmatch(r"<p>[^<]*</p>\n", shown), (text, shown)


def test_a_chart_shows_each_as_it_is(texts: tuple[str, ...]) -> None:
    for text in texts:
        shown = fmt.chart_text(text)
        assert len(shown) <= 48 * 5, text  # each `&` takes five letters
        assert not re.search(r"[<>]|%\{|&(?!lt;|gt;|amp;)", shown), (text, shown)
        assert not STEERS.search(shown), text


def test_an_option_is_one_line_that_steers_nothing(texts: tuple[str, ...]) -> None:
    for text in texts:
        assert not STEERS.search(fmt.option(text)), text


def test_what_is_visible_stays_and_can_be_encoded(texts: tuple[str, ...]) -> None:
    for text in texts:
        seen = visible(text)
        assert not STEERS.search(seen)
        assert STEERS.sub("", text.encode("utf-8", "replace").decode()) or seen
        seen.encode("utf-8")
        assert visible(seen) == seen
        assert visible(text, lines=True).count("\n") == text.count("\n")


def test_a_log_entry_is_one_line_and_a_traceback_is_indented(texts: tuple[str, ...]) -> None:
    formatter = OneLine()
    for text in texts:
        entry = formatter.format(
            logging.LogRecord("name", logging.WARNING, "file", 1, "it says: %s", (text,), None)
        )
        assert entry.startswith("WARNING name: it says: ")
        assert not STEERS.search(entry)
    for text in texts[:200]:
        try:
            raise ValueError(text)  # noqa: TRY301 - its traceback is wanted
        except ValueError as error:
            told = (type(error), error, error.__traceback__)
            entry = formatter.format(logging.LogRecord("name", logging.ERROR, "file", 1, "broken", (), told))
        first, *rest = entry.split("\n")
        assert first == "ERROR name: broken"
        assert all(line.startswith("  ") or not line for line in rest)
        assert not STEERS.search(entry.replace("\n", ""))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_no_spreadsheet_runs_one_wherever_it_parts_cells(texts: tuple[str, ...], delimiter: str) -> None:
    kept = [text for text in texts if text not in SURROGATES and "\x00" not in text]
    table = pa.table({"name": kept, "value": [1.5] * len(kept), "last": kept})
    answer = render("names", table, "csv").decode()
    cells = 0
    for row in csv.reader(io.StringIO(answer, newline=""), delimiter=delimiter):
        for cell in row:
            cells += 1
            assert not FORMULA.match(cell), (cell, row)
    assert cells >= len(kept)


def test_csv_read_back_has_every_text_and_parquet_and_json_the_very_same(texts: tuple[str, ...]) -> None:
    kept = [text for text in texts if text not in SURROGATES]
    table = pa.table({"name": kept})
    rows = pl.read_csv(render("names", table, "csv"), infer_schema=False)["name"].to_list()
    assert len(rows) == len(kept)
    for given, read in zip(kept, rows, strict=True):
        assert (read or "").replace("'", "") == given.replace("'", ""), given
    assert pl.read_parquet(render("names", table, "parquet"))["name"].to_list() == kept
    assert frame_of(render("names", table, "arrow"))["name"].to_list() == kept
    document = json.loads(render("names", table, "json"))
    assert [row["name"] for row in document["rows"]] == kept
