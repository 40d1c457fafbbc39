"""The options of the commands that look at results, and of those that make something of them."""

import dataclasses
from pathlib import Path

POSITIONAL = {"positional": True}
"""Metadata of a field for the words that belong to no option."""


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Play complete episodes with every seed of a trained agent, and print their returns."""

    folder: Path = dataclasses.field(metadata=POSITIONAL)
    """Results folder of a training run or of a sweep."""
    episodes: int = 16
    """Complete episodes of each seed."""
    seed: int = 1_000_000
    """Seed of the episodes, which are the same for every member."""
    sampled: bool = False
    """Sample actions as in training, instead of acting greedily."""
    render: Path | None = None
    """Record the best seed playing one episode into this .gif, .mp4 or .html file."""
    cache: bool = True
    """Keep compiled programs in the user's cache folder."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Write the greedy policy of a trained agent, with its parameters, to one file.

    The file holds a StableHLO program, which `jax.export.deserialize` reads in any process that has
    jax; jaxrl, the environment and the data set are not needed there.
    """

    folder: Path = dataclasses.field(metadata=POSITIONAL)
    """Results folder of a training run or of a sweep."""
    out: Path | None = None
    """New file, such as policy.jaxexport; by default it is in FOLDER/policy, where jaxrl.load looks
    for it."""
    seed: int | None = None
    """Training seed of the member to export; by default the member with the highest last
    evaluation. Of a sweep, the best point is taken."""


@dataclasses.dataclass(frozen=True)
class DatasetOptions:
    """Collect transitions into a data set, print what is in one, or write some as blocks.

    A folder is a data set that minari can read, and a file that ends in .npz holds plain arrays. A
    folder of blocks, for data sets that are larger than the device, is read block by block while
    `jaxrl train` learns from it. Several sources act for equal shares of the steps, unless a regime
    says otherwise.
    """

    sources: tuple[str, ...] = dataclasses.field(default=(), metadata=POSITIONAL)
    """Who acts: the word random for random actions, or the results folder of a trained agent."""
    env: str = ""
    """Name of the environment; by default that of the first results folder."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, such as length=0.7."""
    regime: str = ""
    """How the data come about: random, mixed, replay (the history of training), noisy, expert, or
    stitched (parts of episodes, none of which leads from a start to an end)."""
    steps: int | None = None
    """Number of transitions in all, 10,000 by default; with the regime replay, how many of the
    first transitions of training, all by default."""
    share: float | None = None
    """Share of the agent's steps in the regime mixed, 0.2 by default; the others are random."""
    noise: float | None = None
    """Probability of a random discrete action, or standard deviation of the noise of continuous
    actions, as a share of half of their range; 0.2 by default in the regime noisy, else 0."""
    length: int | None = None
    """Longest part of an episode in the regime stitched, by default half of the shortest
    episode."""
    seed: int = 0
    """Seed of the episodes."""
    sampled: bool = False
    """Let agents sample actions as in training, instead of acting greedily."""
    out: Path = Path("datasets/data-v0")
    """New folder for the data set, whose name must end in -v and a number; or a new file that ends
    in .npz."""
    blocks: tuple[Path, ...] = ()
    """Data sets to write into one new folder of blocks, instead of collecting; they are read one
    after another, and only one of them has to fit into memory."""
    inspect: Path | None = None
    """Data set of which to print what is in it, instead of making one."""
    reference: Path | None = None
    """Data set relative to which the coverage is given, such as that of the regime replay."""
    bins: int = 100
    """Number of bins into which the range of each real number is divided to count distinct pairs
    of an observation and an action; 0 compares bit for bit."""
    cache: bool = True
    """Keep compiled programs in the user's cache folder."""


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """Draw the learning curves of several results folders in one picture."""

    folders: tuple[Path, ...] = dataclasses.field(default=(), metadata=POSITIONAL)
    """Results folders of training runs or of sweeps."""
    out: Path = Path("learning_curves.png")
    """File of the picture; its ending, such as .png, .pdf or .svg, chooses the format."""
    labels: tuple[str, ...] = ()
    """Name of each folder in the picture; folders of one name and environment are one line over all
    of their seeds."""
    column: str = "return_mean"
    """Column of metrics.csv to draw."""
    x: str = "env_steps"
    """What to draw it against: env_steps, wall_time, or updates, which are rounds of learning."""
    statistic: str = "iqm"
    """Statistic over seeds: iqm, which is the interquartile mean, mean, or median."""
    individual: bool = False
    """Also draw the curve of each seed."""


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """Compare the results of several methods, over one or several environments.

    It prints a table of statistics with 95 % bootstrap intervals and a verdict for each pair, and
    writes both beside a picture. Folders of one agent in several environments are one method.
    """

    folders: tuple[Path, ...] = dataclasses.field(default=(), metadata=POSITIONAL)
    """Results folders of training runs or of sweeps, each point of which is a method."""
    out: Path = Path("comparison.png")
    """File of the picture, whose ending chooses the format; the table is written beside it with
    the endings .md and .json."""
    labels: tuple[str, ...] = ()
    """Name of the method in each folder; folders of one name are one method."""
    area: bool = False
    """Compare areas under the learning curves, instead of the returns at their ends."""


@dataclasses.dataclass(frozen=True)
class DashboardOptions:
    """Show all runs below a folder in a web page, which follows those that are training.

    Only this machine can see the page, and nothing is written into the folder.
    """

    folder: Path = dataclasses.field(default=Path("runs"), metadata=POSITIONAL)
    """Folder in which results folders are searched; by default it is runs."""
    port: int = 8050
    """Port of the page; 0 is any that is free."""
    browser: bool = True
    """Open the page in a browser."""
    cache: bool = True
    """Keep compiled programs, of which there are those of the intervals, in the user's cache
    folder."""
