"""Learning curves with their bootstrap intervals, as plotly figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.colors import to_hex
from plotly.subplots import make_subplots

from experiments import plots
from experiments.dashboard.data import Curve
from experiments.plots import Look

IN_A_ROW = 3
"""Panels, one for each environment."""
HEIGHT = {1: 430, 2: 360}
"""Pixels of a row of panels, if there is one panel or there are more."""


def colours(labels: Sequence[str]) -> dict[str, str]:
    """The colour of each label, from the palette of the pictures that are written to files."""
    return dict(zip(labels, map(to_hex, plots.palette(len(labels)))))


def figure(curves: Sequence[Curve], look: Look) -> go.Figure:
    """The curves with their intervals, in one panel for each environment."""
    envs = list(dict.fromkeys(curve.env for curve in curves)) or [""]
    wide = min(IN_A_ROW, len(envs))
    high = -(-len(envs) // wide)
    titles = envs if len(envs) > 1 else None
    found = make_subplots(
        high, wide, subplot_titles=titles, horizontal_spacing=0.06, vertical_spacing=0.28 / high
    )
    by_label = colours(list(dict.fromkeys(curve.line.label for curve in curves)))
    shown: set[str] = set()
    for curve in curves:
        row, column = divmod(envs.index(curve.env), wide)
        label = curve.line.label
        for trace in traces(curve, look, by_label[label]):
            trace.update(legendgroup=label, showlegend=trace.showlegend and label not in shown)
            found.add_trace(trace, row + 1, column + 1)
        shown.add(label)
    found.update_xaxes(title=plots.AXES[look.x], rangemode="tozero", tickformat="~s", **AXIS)
    found.update_yaxes(**AXIS)
    found.update_yaxes(title=plots.axis_name(look.column), col=1)
    found.update_layout(
        template="plotly_white",
        height=HEIGHT[min(2, high)] * high + 60,
        margin={"l": 60, "r": 20, "t": 30, "b": 40},
        hovermode="x unified" if len(curves) < 10 else "closest",
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02 + 0.04 / high, "x": 0},
        # A person's zoom stays while this is the same, and goes where other things are drawn.
        uirevision=f"{look.column} {look.x} {envs}",
    )
    return found


AXIS: dict[str, Any] = {"gridcolor": "#e5e7eb", "zerolinecolor": "#cbd5e1"}


def traces(curve: Curve, look: Look, colour: str) -> list[Any]:
    """The interval of a curve as a filled shape, each of its seeds if asked for, and the curve."""
    label, x, values = curve.line
    known = np.isfinite(curve.estimate.low) & np.isfinite(curve.estimate.high) & np.isfinite(x)
    edge = [*curve.estimate.high[known], *curve.estimate.low[known][::-1]]
    plain = {"hoverinfo": "skip", "showlegend": False}
    found = [
        go.Scatter(
            x=[*x[known], *x[known][::-1]], y=edge, fill="toself", fillcolor=faint(colour, 0.2),
            line={"width": 0}, mode="lines", **plain,
        )
    ]  # fmt: skip
    if look.individual:
        style = {"color": faint(colour, 0.45), "width": 1}
        found += [go.Scatter(x=x, y=seed, mode="lines", line=style, **plain) for seed in values]
    low, high = curve.estimate.low, curve.estimate.high
    found.append(
        go.Scatter(
            x=x, y=curve.estimate.value, name=label, line={"color": colour, "width": 2},
            mode="lines+markers" if len(x) <= plots.FEW else "lines", showlegend=True,
            customdata=np.stack([low, high], -1),
            hovertemplate="%{y:.4~g} [%{customdata[0]:.4~g}, %{customdata[1]:.4~g}]",
        )
    )  # fmt: skip
    return found


def faint(colour: str, opacity: float) -> str:
    """A colour such as #0072b2 that lets through what is behind it."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
