"""Other packages that are called as ours are, and what to say of them.

The names `agents`, `envs` and `experiments` are not ours alone. Our four packages always lie side
by side, so that one which is found elsewhere belongs to somebody else; and a package that another
one was installed over has two owners.
"""

import importlib.metadata
import importlib.util
from pathlib import Path

NAMES = ("agents", "envs", "jaxrl")
HOME = Path(__file__).resolve().parents[1]
ADVICE = "remove it, or install jaxrl into a virtual environment of its own."


def hidden(home: Path = HOME) -> str:
    """The sentence about the first package that Python finds in place of ours, "" if none.

    `home` is the folder in which our packages lie. Nothing is imported.
    """
    for name in NAMES:
        spec = importlib.util.find_spec(name)
        places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin]
        if places and Path(places[0]).resolve() != home / name:
            return f"Another package called {name}, {places[0]}, hides that of jaxrl: {ADVICE}"
    return ""


def overwritten() -> str:
    """The sentence about the first package that was installed over one of ours, "" if none."""
    owners = importlib.metadata.packages_distributions()
    for name in (*NAMES, "experiments"):
        others = sorted(set(owners.get(name, ())) - {"jaxrl"})
        if others and "jaxrl" in owners[name]:
            return f"{others[0]} was installed over the package {HOME / name} of jaxrl: {ADVICE}"
    return ""
