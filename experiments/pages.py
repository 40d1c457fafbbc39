"""The two pages of measured results, made from the results that are kept in the repository.

`python -m experiments.pages` writes `experiments/README.md` and
`experiments/reproductions/README.md`; a test compares them with what it would write.
"""

import json
from pathlib import Path

from envs import suites
from experiments.benchmarks import (
    accelerator,
    at_scale,
    beginnings,
    goals,
    growth,
    kept_rows,
    learning,
    offline,
    precision,
    prefetch,
    presets,
    roofline,
    shares,
    speed,
    verify,
)
from experiments.reproductions.claims import CLAIMS
from experiments.reproductions.report import table

HERE = Path(__file__).parent
BENCHMARKS = HERE / "benchmarks/kept"
KEPT_SUITES = BENCHMARKS / "suites"
REPRODUCTIONS = HERE / "reproductions/kept"
GENERATED = "<!-- Written by `python -m experiments.pages` from the kept results. -->"

LEARNING = """## Learning

`jaxrl benchmark learning` trains every claim below by the command line, with the presets of
[presets](presets), and keeps the mean over seeds of the greedy agents' final evaluation
return. DQN's presets use three-step returns; `dqn-cartpole-one-step` uses one-step returns. The
last column is the time in seconds on two CPU cores, most of which other programs shared."""

SPEED = """## Speed

`jaxrl benchmark speed --rounds 1 --repeats 7` measures training steps per second beside other
libraries, each in a process of its own, with the same networks, batches and passes. The numbers are
medians (least to most) of chunks timed in turns; compile time is apart."""


OFFLINE = """## Learning from data sets

`jaxrl benchmark offline --rounds 1 --repeats 4` measures gradient steps per second on a million
transitions of the sizes of HalfCheetah, beside [Unifloral](https://github.com/EmptyJackson/unifloral)
and [JAX-CORL](https://github.com/nissymori/JAX-CORL) with the same version of JAX, and
[CORL](https://github.com/corl-team/CORL) on torch. All of them spend nearly all of their time in
products of matrices that are the same; the targets of 1.5 and 10 are missed. Cloning by diffusion,
which none of them has, was measured alone, with jax 0.9.2."""

AT_SCALE = """## Published agents on their tasks

`jaxrl benchmark at-scale` trains agents on tasks that they were published on, with equal settings
in a task and no search of any: games of MinAtar with episodes of at most 1000 steps, one layer on
all bits, which costs a fifth of a convolution, and a gradient step on 64 transitions for every four
steps; and HalfCheetah of Gymnasium with layers of 128 units and one gradient step on 128
transitions for every step, or five in runs whose names end in 5. TD-MPC and Dreamer have settings
of their own. Papers take ten times as many steps in MinAtar, and thirty or a hundred times as many
in HalfCheetah, so that theirs are other numbers.
Minutes are those of all seeds together, on two cores that other programs shared. With few seeds
most intervals overlap. Those of DQN and Rainbow beside QR-DQN and HL-Gauss in Breakout do not, nor
in HalfCheetah those of SAC with and without a residual network, and of DroQ beside SAC and REDQ
with as many updates. Runs that the table lacks were not made."""

GOALS = """## Reaching goals

`jaxrl benchmark goals --rounds 1 --repeats 4` measures gradient steps per second of learning to
reach goals from data, beside [OGBench's agents](https://github.com/seohongpark/ogbench), on random
data of the sizes of its AntMaze, with batches of 256 and three layers of 256 units; `hiql-large`
has OGBench's own 1024 and 512. Its agents take one compiled step for each batch, which is drawn on
the host. Its GCIQL judges the actions of policies for other goals than values are learnt for, which
takes more passes. The target is met by GCIQL and QRL; the others spend their time in the same
products of matrices in both."""

SHARES = """## Shares

`jaxrl benchmark shares` times rounds of acting and learning and, in turns with them, what their
algorithms cannot do without: passes through the same networks in the same batches, environment
steps, the traffic of the buffer, and the optimiser. Columns are shares of the whole; the rest is
drawing actions, targets, losses and metrics."""

ROOFLINE = """## Rooflines

`jaxrl benchmark roofline` times each pass through a network by itself. The compiler counts its
operations and bytes; a large product of matrices and a copy say what the machine attains. Bytes
that stay in a cache cost less than the copy's, so that small passes may exceed it."""

BEGINNINGS = """## Beginnings

`jaxrl benchmark beginnings` starts processes with an empty cache of compiled programs, and again
with a filled one. Seconds are medians; garbage collection is within the other stages."""

GROWTH = """## Growth

`jaxrl benchmark growth --large` times a round of learning as one number grows. The last column is
1 where the cost grows with the arithmetic, below 1 where a value costs more than its share of the
largest, and above 1 where it costs less. Few lanes or seeds and narrow layers cost what their loops
cost, in which most of a vector and one of two cores are idle. From 1,024 lanes and 32 seeds on,
rollouts and replay no longer fit in the caches, and a step costs up to 1.8 times as much. C51
projects each of its atoms onto all of them, which outweighs the network at 801. Few atoms and short
dreams are beside layers that do not shrink with them. A step reads and writes no more of a larger
buffer; the sum tree of a prioritised one has 14 levels for 10,000 transitions and 24 for ten
million, and from 100,000 on the compiler divides each access to 64 numbers among the cores, which
costs more than the writing."""

PREFETCH = """## Replay in host memory

`jaxrl benchmark prefetch` takes rounds of learning from full buffers of a million transitions, in
turns with the replay buffer on the device and in host memory (`--buffer-memory host`). On a
processor both are in the same memory, and the host gathers samples on the cores that compute the
rounds: the ratio shows what it costs to call each round by itself, and not what a device with
memory of its own gains."""

PRECISION = """## Precision

`jaxrl benchmark precision` trains the same agents with the same seeds in float32 and with products
of matrices in fewer bits, and compares the last evaluations and the means over all evaluations by
interquartile means of paired seeds, with 95 % intervals. A row is within the intervals if both
differences may be zero. On a processor, bfloat16 is emulated: factors are rounded to bfloat16 and
multiplied in float32, which says nothing of the speed of devices that have such products. Seconds
are of processor time, for training and compiling."""

ACCELERATOR = """## On an accelerator

`jaxrl benchmark accelerator`, with all libraries on the same card in one run."""

ROWS = (
    ("at_scale", AT_SCALE, at_scale.table),
    ("shares", SHARES, shares.table),
    ("roofline", ROOFLINE, roofline.table),
    ("beginnings", BEGINNINGS, beginnings.table),
    ("growth", GROWTH, growth.table),
    ("prefetch", PREFETCH, prefetch.table),
    ("precision", PRECISION, precision.table),
    ("accelerator", ACCELERATOR, accelerator.table),
)
"""The benchmarks whose rows are kept in files, with a text and a table for each."""

RETURNS = """What agents learn from the same data sets in both libraries, with Unifloral's own
settings, is compared by `jaxrl benchmark offline-returns --seeds 4 --steps 1500`; but ReBRAC has
batches of 256, EDAC and CQL four critics, and CQL's actor the rate of its critics. Numbers are
means over data sets, with 95 % intervals of the interquartile mean."""

TUNING = """## Tuning

`jaxrl benchmark tuning` compares population-based training with step sizes that stay as they were
drawn, in predicting the returns of random actions by temporal differences. Tried before and not
kept, because the two could not be told apart: greedy returns of Q-learning on the lakes of 4 x 4
(difference 0.004, 95 % interval [-0.005, 0.021]) and of 8 x 8 (0.010, [-0.040, 0.072])."""

PRESETS = """## Presets

`jaxrl benchmark presets` searches hyperparameters of an agent in an environment, by 16 points with
two seeds each, and compares the best with the agent's defaults, by eight seeds that the search has
not seen. The preset is kept where the interquartile means of paired seeds differ with 95 %
confidence; elsewhere the defaults stay. Presets that were chosen by hand have no such comparison.
All other pairs of agents and environments run with defaults. In MountainCarContinuous neither the
defaults nor any point of the search learn more than to stand still."""

PLAY = """## Perfect play

`jaxrl benchmark perfect-play` trains agents that search in noughts and crosses, as both players,
and judges what they do in every position by exact minimax. The means are of both seats, between -1
and 1; a tactical player wins at once if it can, and else prevents that the other one does."""

TRIALS = """`jaxrl benchmark trials` counts the trials of a search in an hour, from the start of the
process to the last score, beside Optuna over rejax in one compiled function."""

SUITES = """## Environments of other packages

`jaxrl benchmark verify` runs `envs.check` in each environment of a suite, draws it, and trains PPO
for a moment in one of each family whose names differ in numbers only. The tables, one row an
environment, are in [benchmarks/kept/suites](benchmarks/kept/suites)."""

CURVES = """`jaxrl benchmark suites` trains in some of them; the seconds are of two cores that other
programs shared."""

LANES = """`jaxrl benchmark environments` takes random actions in lanes that reset themselves: ours,
and those of each suite's package. The rates are medians of five runs in turns. The loops of brax
and MuJoCo Playground restart each lane from its own first state, so that resets cost them nothing;
ours draw new initial states, one a step with few lanes."""


def of_suites() -> list[str]:
    """The section on environments of other packages: what was verified, learning and speed."""
    rows = [(path.stem, verify.kept(path)) for path in sorted((KEPT_SUITES).glob("*.md"))]
    lines = ["| suite | environments | verified | kept their promises | drawn |", "|---" * 5 + "|"]
    for prefix, found in rows:
        kept, drawn = (sum(row[i].startswith(x) for row in found for x in given)
                       for i, given in ((3, ("yes",)), (5, tuple("123456789"))))  # fmt: skip
        total = len(suites.module(prefix).names())
        lines.append(f"| {prefix} | {total} | {len(found)} | {kept} | {drawn} |")
    parts = [SUITES, "\n".join(lines)]
    curves = KEPT_SUITES / "curves.json"
    if curves.is_file():
        outcomes = json.loads(curves.read_text())
        parts += [CURVES, learning.table(outcomes)]
        parts += [
            f"![{row['claim']}](benchmarks/kept/suites/{row['claim']}.png)" for row in outcomes
        ]
    lanes = BENCHMARKS / "environments.md"
    return [*parts, LANES, lanes.read_text().strip()] if lanes.is_file() else parts


def of_rows() -> list[str]:
    """The sections of the benchmarks whose rows are kept, on each machine."""
    parts = []
    for name, text, tabled in ROWS:
        for i, path in enumerate(sorted(BENCHMARKS.glob(f"{name}*.json"))):
            report = json.loads(path.read_text())
            parts += [text] * (i == 0) + [f"On {kept_rows.about(report)}:", tabled(report)]
            if path.with_suffix(".png").is_file():
                parts.append(f"![{name}](benchmarks/kept/{path.stem}.png)")
    return parts


def measured() -> str:
    """The page of the benchmarks."""
    rows = json.loads((BENCHMARKS / "learning.json").read_text())
    parts = [GENERATED, "# What is measured", LEARNING, learning.table(rows), SPEED]
    for path in sorted(BENCHMARKS.glob("speed*.json"), reverse=True):
        report = json.loads(path.read_text())
        on = report["machine"]
        about = f"{on['processor']}, {on['cores']} cores, {on['started'][:10]}"
        parts += [f"### {about}", speed.table(report)]
    parts += of_rows()
    learnt = BENCHMARKS / "offline.json"
    if learnt.is_file():
        parts += [OFFLINE, offline.table(json.loads(learnt.read_text()))]
    reached = BENCHMARKS / "goals.json"
    if reached.is_file():
        parts += [GOALS, goals.table(json.loads(reached.read_text()))]
    scores = BENCHMARKS / "offline_returns.md"
    if scores.is_file():
        parts += [RETURNS, scores.read_text().strip()]
    for name in ("speed_earlier", "imagination", "dynamic_programming", "data"):
        path = BENCHMARKS / f"{name}.md"
        parts.append(path.read_text().strip())
    parts += of_suites()
    parts += [TUNING, (BENCHMARKS / "tuning/results.md").read_text().strip(),
              "![population-based training](benchmarks/kept/tuning/picture.png)"]  # fmt: skip
    for text, path in ((TRIALS, "tuning/trials.md"), (PLAY, "perfect_play.md")):
        if (BENCHMARKS / path).is_file():
            parts += [text, (BENCHMARKS / path).read_text().strip()]
    parts += [PRESETS, presets.table().strip()]
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
