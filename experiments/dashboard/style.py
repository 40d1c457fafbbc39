"""How the page looks: its style sheet, and the columns of its table."""

from typing import Any

STATE_COLOURS = {
    "running": "#009e73",
    "finished": "#0072b2",
    "stopped": "#b45309",
    "diverged": "#d55e00",
    "unreadable": "#6b7280",
}
"""The states of runs in the order in which they are counted."""

STATE_STYLE = {
    "styleConditions": [
        {"condition": f"params.value == '{state}'", "style": {"color": colour, "fontWeight": 600}}
        for state, colour in STATE_COLOURS.items()
    ]
}


def formatted(form: str) -> dict[str, str]:
    """A formatter of numbers, empty where there is none, by a format of d3."""
    return {"function": f"params.value == null ? '' : d3.format('{form}')(params.value)"}


def numeric(field: str, name: str, form: str, width: int, **more: Any) -> dict[str, Any]:
    """A column of numbers."""
    return {"field": field, "headerName": name, "width": width, "type": "numericColumn",
            "filter": "agNumberColumnFilter", "valueFormatter": formatted(form)} | more  # fmt: skip


def text(field: str, width: int, name: str = "", **more: Any) -> dict[str, Any]:
    """A column of texts."""
    return {"field": field, "headerName": name or field, "width": width} | more


NARROW = {"suppressHeaderFilterButton": True}
COLUMNS: list[dict[str, Any]] = [
    text("run", 200, minWidth=180, flex=2, tooltipField="run", pinned="left"),
    text("state", 105, cellStyle=STATE_STYLE, tooltipField="note"),
    text("agent", 100),
    text("env", 145, "environment"),
    numeric("seeds", "seeds", ",d", 70, **NARROW),
    numeric("points", "points", ",d", 75, **NARROW),
    numeric("steps", "steps", ",d", 95, **NARROW),
    numeric("asked", "of", ",d", 95, **NARROW),
    numeric("return", "last return", ".4~g", 120),
    text("interval", 150, "95 % interval", sortable=False),
    text("date", 145, sort="desc"),
    text("commit", 120),
    text("note", 300, minWidth=250, flex=3, tooltipField="note"),
]
"""The columns of the table; see `experiments.dashboard.data.summary`."""

GRID: dict[str, Any] = {
    "theme": {"function": "themeQuartz.withParams({ spacing: 5, fontSize: 13 })"},
    "rowSelection": {
        "mode": "multiRow",
        "selectAll": "filtered",
        "enableClickSelection": False,
        "isRowSelectable": {"function": "params.data.state != 'unreadable'"},
    },
    "rowHeight": 29,
    "headerHeight": 34,
    "tooltipShowDelay": 300,
    "animateRows": False,
}
"""Options of the table beside its columns."""

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
{%favicon%}
{%css%}
<style>
:root { --Dash-Fill-Interactive-Strong: #0072b2; }
body { margin: 0 auto; max-width: 1900px; padding: 12px 20px 40px; color: #1f2937;
       font: 14px/1.45 system-ui, sans-serif; background: #ffffff; }
header { display: flex; align-items: baseline; gap: 14px; }
h1 { font-size: 22px; margin: 0; }
h2 { font-size: 16px; margin: 26px 0 8px; }
#count { color: #6b7280; margin-left: auto; }
.search { margin: 10px 0; }
#search { width: 100%; box-sizing: border-box; padding: 6px 10px;
          border: 1px solid #cbd5e1; border-radius: 6px; font: inherit; }
.controls { display: flex; flex-wrap: wrap; gap: 10px 28px; align-items: center;
            margin-top: 16px; }
.controls > div { display: flex; align-items: center; gap: 8px; }
.controls > div > span { color: #6b7280; }
.controls .dash-dropdown { min-width: 220px; }
.said { margin: 8px 0 0; color: #4b5563; min-height: 1.45em; }
.wide { overflow: auto; max-height: 480px; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid #e5e7eb;
         white-space: nowrap; font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: #4b5563; background: #ffffff; position: sticky; top: 0; }
td:first-child { color: #4b5563; }
.pictures { display: flex; flex-wrap: wrap; gap: 16px; }
figure { margin: 0; }
figure img, figure video { max-height: 300px; max-width: 100%; border: 1px solid #e5e7eb;
                           border-radius: 6px; }
figcaption { color: #6b7280; font-size: 12px; }
</style>
</head>
<body>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>
"""
