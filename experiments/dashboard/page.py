"""The page: a table of runs, and the curves, settings, sweeps and pictures of those chosen."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dash_ag_grid
import flask
from dash import Dash, Input, Output, Patch, State, dcc, html, no_update

from experiments import plots
from experiments.dashboard import data, figures, settings
from experiments.dashboard.data import Entry, Reader
from experiments.dashboard.style import COLUMNS, GRID, INDEX, STATE_COLOURS
from experiments.plots import Look
from experiments.statistics import NAMES
from jaxrl.errors import InputError

REFRESH = 2.0
"""Seconds between two looks at the folders."""
CHOSEN = 4
"""Runs that are chosen when the page is opened: the latest."""
ROW, MOST = 29, 12
"""Pixels of a row of the table, and the rows that it shows before it scrolls."""
# By default newer graphs have a button that sends their data to the maker of the library.
GRAPH: Any = {"displaylogo": False, "responsive": True, "showSendToCloud": False,
              "plotlyServerURL": ""}  # fmt: skip
VIDEOS = (".mp4", ".webm")


def page(root: Path) -> Dash:
    """The application that shows the runs below a folder; it reads files and writes none."""
    reader = data.reader(root)
    # No folder of assets: nothing but the installed packages is served, and nothing from afar.
    app = Dash(
        __name__, title=f"jaxrl: {root}", update_title="", assets_folder="", index_string=INDEX
    )
    app.layout = lambda: layout(root, reader)
    add_refreshing(app, reader)
    add_choice(app, reader)
    add_pictures(app.server, reader)
    return app


def layout(root: Path, reader: Reader) -> html.Div:
    """Everything on the page, with the runs of this moment."""
    runs = reader.entries()
    rows = [data.summary(run) for run in runs]
    latest = sorted((run for run in runs if run.config), key=lambda run: run.date)[-CHOSEN:]
    return html.Div(
        [
            html.Header(
                [html.H1("jaxrl"), html.Code(str(root)), html.Span(count(rows), id="count")]
            ),
            dcc.Interval(id="clock", interval=1000 * REFRESH),
            dcc.Store(id="seen", data=fingerprint(runs, rows)),
            dcc.Store(id="drawn"),
            html.Div(
                dcc.Input(id="search", type="search", placeholder="Filter, such as ppo cartpole"),
                className="search",
            ),
            table(rows, [run.name for run in latest]),
            html.Div(controls(), className="controls"),
            html.P(id="said", className="said"),
            dcc.Graph(id="curves", config=GRAPH),
            html.Section(id="differences"),
            html.Section(id="points"),
            html.Section(id="pictures"),
        ]
    )  # fmt: skip


def table(rows: list[dict[str, Any]], chosen: list[str]) -> dash_ag_grid.AgGrid:
    """The table of runs, in which they are sorted, filtered and chosen."""
    return dash_ag_grid.AgGrid(
        id="runs",
        rowData=rows,
        columnDefs=COLUMNS,
        defaultColDef={"sortable": True, "filter": True, "resizable": True},
        getRowId="params.data.run",
        selectedRows={"ids": chosen},
        dashGridOptions=GRID,
        style=height(rows),
    )


def height(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The table is as high as its rows, and scrolls where they are many."""
    return {"height": f"{52 + ROW * max(3, min(len(rows), MOST))}px"}


def controls() -> list[Any]:
    """What to draw, and how."""
    radio = lambda name, options, value: dcc.RadioItems(options, value, id=name, inline=True)
    parts = {
        "Column": dcc.Dropdown(
            ["return_mean"], "return_mean", id="column", clearable=False, maxHeight=420
        ),
        "Against": radio("axis", plots.AXES, Look().x),
        "Statistic": radio("statistic", NAMES, Look().statistic),
        "Also": dcc.Checklist({"seeds": "each seed"}, [], id="also"),
    }
    return [html.Div([html.Span(name), part], role="group") for name, part in parts.items()]


def count(rows: Sequence[dict[str, Any]]) -> str:
    """How many runs there are and how they stand, in words."""
    states = [row["state"] for row in rows]
    told = [f"{states.count(state)} {state}" for state in STATE_COLOURS if state in states]
    return f"{len(rows)} run{'s' * (len(rows) != 1)}: {', '.join(told)}" if rows else "no runs yet"


def fingerprint(runs: Sequence[Entry], rows: Sequence[dict[str, Any]]) -> str:
    """A text that changes when anything that the page shows does."""
    pictures = [(path.name, data.changed(path)) for run in runs for path in data.pictures(run)]
    lengths = [len(run.rows) for run in runs]
    return str(hash((str(rows), str(lengths), str(pictures))))


def add_refreshing(app: Dash, reader: Reader) -> None:
    """Look at the folders regularly; rows and curves are sent anew when something has changed."""

    @app.callback(
        Output("runs", "rowData"),
        Output("runs", "style"),
        Output("count", "children"),
        Output("seen", "data"),
        Input("clock", "n_intervals"),
        State("seen", "data"),
        prevent_initial_call=True,
    )
    def refreshed(_: int, seen: str) -> tuple:
        runs = reader.entries()
        rows = [data.summary(run) for run in runs]
        now = fingerprint(runs, rows)
        return (no_update,) * 4 if now == seen else (rows, height(rows), count(rows), now)

    @app.callback(Output("runs", "dashGridOptions"), Input("search", "value"))
    def filtered(text: str | None) -> dict[str, Any]:
        return GRID | {"quickFilterText": text or ""}


def add_choice(app: Dash, reader: Reader) -> None:
    """Draw and describe the chosen runs, whenever they, the choice, or the look change."""

    def chosen(selected: Any) -> list[Entry]:
        if isinstance(selected, dict):  # as it was set when the page was opened
            names = set(selected["ids"])
        else:
            names = {row["run"] for row in selected or ()}
        # In the order of their names, so that colours do not depend on the order of clicks.
        return [run for run in reader.entries() if run.config is not None and run.name in names]

    @app.callback(
        Output("curves", "figure"),
        Output("said", "children"),
        Output("column", "options"),
        Output("drawn", "data"),
        Input("seen", "data"),
        Input("runs", "selectedRows"),
        Input("column", "value"),
        Input("axis", "value"),
        Input("statistic", "value"),
        Input("also", "value"),
        State("drawn", "data"),
    )
    def drawn(
        _: str, selected: Any, column: str, axis: str, of: str, also: list[str], before: str | None
    ) -> tuple:
        runs, look = chosen(selected), Look(column, axis, of, "seeds" in also)
        curves, lines = [], []
        for run in runs:
            try:
                curves += reader.curves(run, look)
            except InputError as error:
                lines.append(f"{run.name}: {error}")
        if not runs:
            lines = ["Choose runs in the table to see their learning curves."]
        elif curves:
            lines = [
                f"{plots.axis_name(column)}: {plots.said(look)} over seeds.".capitalize(),
                *lines,
            ]
        figure = figures.figure(curves, look)
        now = figure.layout.uirevision
        new = figure if now != before else redrawn(figure)
        return new, " ".join(lines), data.columns(runs), now

    @app.callback(
        Output("differences", "children"),
        Output("points", "children"),
        Output("pictures", "children"),
        Input("seen", "data"),
        Input("runs", "selectedRows"),
    )
    def described(_: str, selected: Any) -> tuple:
        runs = chosen(selected)
        return differences(runs), points(runs), pictures(runs)


def redrawn(figure: Any) -> Patch:
    """The change from an earlier figure of the same axes, which leaves a person's zoom alone."""
    change, new = Patch(), figure.to_plotly_json()
    change["data"] = new["data"]
    change["layout"]["hovermode"] = new["layout"]["hovermode"]
    return change


def cells(head: Sequence[str], rows: Sequence[Sequence[str]]) -> html.Div:
    """A table of texts that scrolls sideways if it is wide."""
    first = html.Thead(html.Tr([html.Th(text) for text in head]))
    body = html.Tbody([html.Tr([html.Td(text) for text in row]) for row in rows])
    return html.Div(html.Table([first, body]), className="wide")


def differences(runs: Sequence[Entry]) -> list[Any]:
    """The settings that differ between the chosen runs."""
    if len(runs) < 2:
        return []
    found = settings.differences([run.config for run in runs if run.config is not None])
    rows = [[name, *(text or "—" for text in texts)] for name, texts in found.items()]
    told = cells(["setting", *(run.name for run in runs)], rows)
    same = html.P("The chosen runs have the same configuration.")
    return [html.H2("Differences of configuration"), told if rows else same]


def points(runs: Sequence[Entry]) -> list[Any]:
    """The points of the chosen sweeps, best first."""
    found: list[Any] = []
    for run in runs:
        if run.config is None or not run.config.sweep or not run.points:
            continue
        names = list(run.config.sweep)
        rows = [
            [*(f"{point[name]:g}" for name in names), text_of(point["return"]),
             data.interval(point), f"{point['seeds']} of {run.config.seeds}"]
            for point in run.points
        ]  # fmt: skip
        head = [*names, "last return", "95 % interval", "seeds with a return"]
        found += [html.H2(f"Points of {run.name}, best first"), cells(head, rows)]
    return found


def text_of(value: float) -> str:
    """A return as a text; a dash for one that there is not."""
    return "—" if math.isnan(value) else f"{value:.4g}"


def pictures(runs: Sequence[Entry]) -> list[Any]:
    """The pictures and videos of the chosen runs."""
    shown = []
    for run in runs:
        for path in data.pictures(run):
            # The time of its last change, so that a picture that was drawn anew is fetched anew.
            link = f"/picture/{quote(run.name)}/{quote(path.name)}?{data.changed(path)[0]}"
            if path.suffix.lower() in VIDEOS:
                seen: Any = html.Video(src=link, controls=True, loop=True, muted=True)
            else:
                seen = html.A(html.Img(src=link, alt=path.name), href=link, target="_blank")
            shown.append(html.Figure([seen, html.Figcaption(f"{run.name}/{path.name}")]))
    return [html.H2("Pictures"), html.Div(shown, className="pictures")] if shown else []


def add_pictures(server: flask.Flask, reader: Reader) -> None:
    """Serve the pictures in results folders, and no other file."""

    @server.route("/picture/<path:place>")
    def picture(place: str) -> flask.Response:
        name, _, file = place.rpartition("/")
        for run in reader.entries():
            if run.name == name and file in [path.name for path in data.pictures(run)]:
                return flask.send_from_directory(run.folder.absolute(), file)
        flask.abort(404)
