"""Widgets for the parameters of a question, made from its JSON schema. What is set is in the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from dashboard import controls, data
from dashboard import format as fmt

WINDOW = ("start", "end")
LABELS = {"source_name": "Collector", "by": "Foremost by", "merged": "All pooled"}
SOURCES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "target": (("endpoints", "target"), ("hosts", "host"), ("databases", "target")),
    "endpoint": (("endpoints", "endpoint"),),
    "host": (("hosts", "host"),),
    "kind": (("freshness", "kind"),),
    "source_name": (("freshness", "source"),),
}
"""Which answer's column knows the names a parameter may have."""


def given(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The question's parameters but the window, as the address has them and the widgets set them."""
    found: dict[str, Any] = {}
    for name, one in schema.get("properties", {}).items():
        if name in WINDOW:
            continue
        texts = controls.parameters(_key(name))
        value = _value(one, texts) if texts else None
        if value is not None:
            found[name] = value
    return found


def draw(schema: Mapping[str, Any], answers: Mapping[str, data.Answer]) -> None:
    """One widget a parameter, in rows that wrap."""
    own = {name: one for name, one in schema.get("properties", {}).items() if name not in WINDOW}
    if not own:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        for name, one in own.items():
            with st.container(width=260):
                _widget(name, one, _options(name, one, schema.get("$defs", {}), answers))


def _widget(name: str, one: Mapping[str, Any], options: Sequence[str]) -> None:
    key, label = f"filter_{name}", LABELS.get(name) or name.replace("_", " ").capitalize()
    texts = controls.parameters(_key(name))
    changed: dict[str, Any] = {"on_change": _take, "args": (name, key)}
    if one.get("type") == "array":
        st.session_state[key] = texts
        st.multiselect(
            label,
            [*options, *(text for text in texts if text not in options)],
            key=key,
            format_func=fmt.option,
            placeholder="All",
            accept_new_options=not one["items"].get("$ref"),
            **changed,
        )
    elif one.get("type") == "boolean":
        st.session_state[key] = texts == ["true"]
        st.toggle(label, key=key, **changed)
    elif options:
        st.session_state[key] = texts[0] if texts and texts[0] in options else one.get("default")
        st.selectbox(label, options, key=key, **changed)
    else:
        st.session_state[key] = texts[0] if texts else ""
        st.text_input(label, key=key, placeholder=_hint(one), **changed)


def _hint(one: Mapping[str, Any]) -> str:
    if one.get("type") in ("integer", "number"):
        return str(one.get("default", ""))
    instant = any(kind.get("format") == "date-time" for kind in one.get("anyOf", [one]))
    return "2026-11-23T12:00:00Z" if instant else ""


def _value(one: Mapping[str, Any], texts: list[str]) -> Any:
    """The texts of the address as a value; what does not fit stays text, and the warehouse says why."""
    if one.get("type") == "array":
        return tuple(texts)
    return (
        {"true": True, "false": False}.get(texts[0], texts[0]) if one.get("type") == "boolean" else texts[0]
    )


def _options(
    name: str,
    one: Mapping[str, Any],
    definitions: Mapping[str, Any],
    answers: Mapping[str, data.Answer],
) -> list[str]:
    known = {str(value) for value in one.get("enum", [])}
    reference = str(one.get("items", {}).get("$ref", "")).rpartition("/")[2]
    known |= {str(value) for value in definitions.get(reference, {}).get("enum", [])}
    for answer, column in SOURCES.get(name, ()):
        rows = answers.get(answer)
        if isinstance(rows, pl.DataFrame) and column in rows.columns:
            known |= {str(value) for value in rows[column].unique()}
    return sorted(known)


def _take(name: str, key: str) -> None:
    value = st.session_state[key]
    if isinstance(value, bool):
        value = "true" if value else None
    controls.remember(_key(name), value.strip() if isinstance(value, str) else value)


def _key(name: str) -> str:
    """Its name in the address: `by` and the like must not mean something on other pages."""
    return name if name in SOURCES else f"p_{name}"
