"""A Streamlit page that shows hostile texts in every way our pages show text. Run by the test beside it."""

import json
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from dashboard import format as fmt

LINES = 30

texts = json.loads(Path("texts.json").read_text())
st.set_page_config(layout="wide")
st.error("\n".join(f"- {fmt.plain(text)}" for text in texts), title="All")
for number, text in enumerate(texts):
    with st.container(key=f"text{number}"):
        st.markdown(f"{fmt.plain(text)}")
        st.caption(f"{fmt.plain(text)}: small")
st.selectbox("One", texts, key="one", format_func=fmt.option)
st.multiselect("Some", texts, default=texts[:40], key="some", format_func=fmt.option)
st.dataframe({"text": texts})
st.metric(fmt.plain(texts[0]), "1", help=fmt.plain(texts[1]))
for begin in range(0, len(texts), LINES):
    drawn = go.Figure()
    for text in texts[begin : begin + LINES]:
        name = fmt.chart_text(text)
        drawn.add_scatter(
            x=[1, 2],
            y=[1, 2],
            name=name,
            customdata=[name] * 2,
            hovertemplate="%{fullData.name}: %{customdata}<extra></extra>",
        )
    drawn.update_layout(height=900, showlegend=True)
    st.plotly_chart(drawn, key=f"chart{begin}")
st.caption("The end")
