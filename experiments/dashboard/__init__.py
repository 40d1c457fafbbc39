"""A local web page of all runs below a folder, which only reads.

| module | what it has |
|---|---|
| `data` | what the page shows, as pure functions of results folders |
| `settings` | the settings that differ between runs |
| `figures` | learning curves with their intervals, as plotly figures |
| `page` | the page: a table of runs, their curves, settings, sweeps and pictures |
| `server` | serving the page to this machine until Ctrl-C |

All but `data` and `settings` need the extra `dashboard`.
"""
