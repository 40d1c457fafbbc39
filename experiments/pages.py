"""The two pages of measured results, made from the results that are kept in the repository.

`python -m experiments.pages` writes `experiments/README.md` and
`experiments/reproductions/README.md`; a test compares them with what it would write.
"""

import json
from pathlib import Path

from experiments.benchmarks import learning, speed
from experiments.reproductions.claims import CLAIMS
from experiments.reproductions.report import table

HERE = Path(__file__).parent
BENCHMARKS = HERE / "benchmarks/kept"
REPRODUCTIONS = HERE / "reproductions/kept"
GENERATED = "<!-- Written by `python -m experiments.pages` from the kept results. -->"

LEARNING = """## Learning

`jaxrl benchmark learning` trains every claim below by the command line, with the presets of
[presets.py](presets.py), and keeps the mean over seeds of the greedy agents' final evaluation
return. DQN's presets use three-step returns; `dqn-cartpole-one-step` uses one-step returns. The
last column is the time in seconds on two CPU cores, most of which other programs shared."""

SPEED = """## Speed

`jaxrl benchmark speed --rounds 1 --repeats 7` measures training steps per second beside other
libraries, each in a process of its own, with the same networks, batches and passes. The numbers are
medians (least to most) of chunks timed in turns; compile time is apart."""


TUNING = """## Tuning

`jaxrl benchmark tuning` compares population-based training with step sizes that stay as they were
drawn, in predicting the returns of random actions by temporal differences. Tried before and not
kept, because the two could not be told apart: greedy returns of Q-learning on the lakes of 4 x 4
(difference 0.004, 95 % interval [-0.005, 0.021]) and of 8 x 8 (0.010, [-0.040, 0.072])."""


def measured() -> str:
    """The page of the benchmarks."""
    rows = json.loads((BENCHMARKS / "learning.json").read_text())
    parts = [GENERATED, "# What is measured", LEARNING, learning.table(rows), SPEED]
    for path in sorted(BENCHMARKS.glob("speed*.json"), reverse=True):
        report = json.loads(path.read_text())
        on = report["machine"]
        about = f"{on['processor']}, {on['cores']} cores, {on['started'][:10]}"
        parts += [f"### {about}", speed.table(speed.stored(report))]
    for name in ("speed_earlier", "imagination", "dynamic_programming"):
        path = BENCHMARKS / f"{name}.md"
        parts.append(path.read_text().strip())
    parts += [TUNING, (BENCHMARKS / "tuning/results.md").read_text().strip(),
              "![population-based training](benchmarks/kept/tuning/picture.png)"]  # fmt: skip
    parts.append("The papers' claims are in [reproductions](reproductions/README.md).")
    return "\n\n".join(parts) + "\n"


def reproduced() -> str:
    """The page of the reproductions: every claim, its verdict, its numbers and its picture."""
    parts = [
        GENERATED,
        "# Papers' claims, tried again",
        "Each claim is tried by `jaxrl reproduce NAME`, which writes the table, the numbers behind "
        "it and the picture. Below is what the kept runs of these commands measured.",
        "\n".join(
            [
                "| name | claim | verdict |",
                "|---|---|---|",
                *(f"| [{n}](#{n}) | {c.statement} | {c.verdict} |" for n, c in CLAIMS.items()),
            ]
        ),
    ]
    for name, claim in CLAIMS.items():
        parts += [f"## {name}", claim.statement, f"**{claim.verdict}.** {claim.numbers}"]
        for path in sorted((REPRODUCTIONS / name).rglob("results.json")):
            folder = path.parent.relative_to(REPRODUCTIONS.parent)
            title = path.with_name("results.md").read_text().splitlines()[0]
            parts += [
                f"{title}:",
                table(json.loads(path.read_text())),
                f"![{name}]({folder}/picture.png)",
            ]
    return "\n\n".join(parts) + "\n"


PAGES = {"README.md": measured, "reproductions/README.md": reproduced}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page())


if __name__ == "__main__":
    main()
