"""The command `jaxrl dataset`: data sets of several regimes, and what is in a file."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import envs
from experiments import configuration, forms, invocation, lanes, options, results
from jaxrl.errors import (
    require,
    require_fraction,
    require_known,
    require_non_negative,
    require_positive,
)
from jaxrl.types import Env, Transition


class Regime(NamedTuple):
    """How a data set comes about, apart from who acts."""

    about: str
    share: float | None = None  # of the steps in which the agent acts; the others are random
    noise: float = 0.0
    history: bool = False  # the training of the agent, instead of what it learnt to do
    stitched: bool = False  # in parts, none of which is a whole episode


REGIMES = {
    "random": Regime("Random actions.", share=0.0),
    "mixed": Regime("A share of the agent's steps, and random actions.", share=0.2),
    "replay": Regime("The whole history of the agent's training.", share=1.0, history=True),
    "noisy": Regime("The agent, whose actions are disturbed by noise.", share=1.0, noise=0.2),
    "expert": Regime("The agent alone.", share=1.0),
    "stitched": Regime("The agent, in parts of episodes.", share=1.0, stitched=True),
}
"""The regimes of Schweighofer et al. (2022), https://arxiv.org/abs/2111.04714, and
stitched tasks, whose goal no single part of the data reaches from a start."""

STEPS = 10_000


def dataset_command(arguments: list[str]) -> None:
    """`jaxrl dataset SOURCE ...`: a data set of random actions or of trained agents."""
    chosen = options.parse("dataset", forms.DatasetOptions, arguments)
    require(chosen.bins >= 0, f"bins must not be negative, but it is {chosen.bins}.")
    if chosen.inspect is not None:
        require(not chosen.sources, "--inspect reads a data set: leave the sources out.")
        tell(chosen.inspect, chosen)
        return
    if chosen.blocks:
        write_blocks(chosen)
        return
    require(
        bool(chosen.sources),
        "jaxrl dataset needs a source: the word random, or the results folder of a trained agent.",
    )
    regime = checked(chosen)
    folders = [source for source in chosen.sources if source != "random"]
    known = [configuration.load(Path(folder)) for folder in folders]
    require(bool(chosen.env or known), invocation.ENV_NEEDED)
    require(
        bool(chosen.env or not chosen.env_params),
        "--env-params needs --env: without it the environment is that of the results folder.",
    )
    name = chosen.env or known[0].env
    params = (
        invocation.environment_parameters(chosen.env_params) if chosen.env else known[0].env_params
    )
    outside = lanes.outside(name)
    env = lanes.described(name, params) if outside else envs.make(name, **params)
    results.require_new(chosen.out)
    from experiments import datasets

    datasets.require_writable(env, chosen.out)
    if chosen.reference is not None:
        datasets.load(str(chosen.reference), env, 1, 1)  # it must be of this environment
    invocation.use_cache(chosen)
    found = collected(chosen, regime, env, (name, params) if outside else None)
    episodes = [episode for data in found for episode in datasets.split_lanes(data)]
    about = f"{', '.join(chosen.sources)} in {name}"
    about += f", {chosen.regime}" if chosen.regime else ""
    notes = {"env": name, "env_params": params, "sources": list(chosen.sources),
             "regime": chosen.regime, "seed": chosen.seed}  # fmt: skip
    datasets.save(episodes, env, chosen.out, about, notes)
    tell(chosen.out, chosen, episodes, name)


def write_blocks(chosen: Any) -> None:
    """Write data sets into a folder of blocks, and say how many chunks it has.

    What is left over of a data set after its last chunk is left out.
    """
    from experiments import datasets, streaming

    require(not chosen.sources, "--blocks writes data sets that are there: leave sources out.")
    require(bool(chosen.env), invocation.ENV_NEEDED)
    results.require_new(chosen.out)
    env = envs.make(chosen.env, **invocation.environment_parameters(chosen.env_params))
    read = lambda path: datasets.load(str(path), env, 1, streaming.CHUNK)
    number = streaming.write(map(read, chosen.blocks), chosen.out, streaming.CHUNK)
    print(
        f"{chosen.out} has {number} chunks of {streaming.CHUNK} transitions in {chosen.env}, of "
        f"{len(chosen.blocks)} data sets."
    )


def checked(chosen: Any) -> Regime | None:
    """The regime that options name, if any; an InputError if they do not fit together."""
    invocation.require_seeds(chosen.seed, 1)
    if chosen.steps is not None:
        require_positive(steps=chosen.steps)
    if chosen.length is not None:
        require_positive(length=chosen.length)
    if chosen.noise is not None:
        require_non_negative(noise=chosen.noise)
    if not chosen.regime:
        require(chosen.share is None, "--share needs the regime mixed.")
        require(chosen.length is None, "--length needs the regime stitched.")
        return None
    require_known("regime", chosen.regime, REGIMES)
    regime = REGIMES[chosen.regime]
    source = list(chosen.sources)
    wanted = ["random"] if regime.share == 0 else None
    right = source == wanted if wanted else len(source) == 1 and source != ["random"]
    what = "the word random" if wanted else "the results folder of one trained agent"
    require(
        right,
        f"The regime {chosen.regime} needs {what} as its only source, not {' '.join(source)}.",
    )
    allowed = {"share": "mixed", "length": "stitched"}
    for option, name in allowed.items():
        given = getattr(chosen, option) is not None
        require(not given or chosen.regime == name, f"--{option} needs the regime {name}.")
    if chosen.share is not None:
        require_fraction(share=chosen.share)
    fits = chosen.noise is None or not (regime.history or regime.share == 0)
    require(fits, f"--noise disturbs an agent that acts, which the regime {chosen.regime} has not.")
    if regime.history:
        require(not chosen.sampled, "--sampled needs an agent that acts, which replay has not.")
    return regime


def collected(
    chosen: Any, regime: Regime | None, env: Env, outside: tuple[str, dict] | None
) -> list[Transition]:
    """The transitions [T, B, ...] of each source, as options and a regime say."""
    from experiments import collecting

    sources, shares = list(chosen.sources), None
    noise = chosen.noise or 0.0
    if regime is not None:
        if regime.history:
            return [collecting.history(Path(sources[0]), env.spec, chosen.steps)]
        noise = regime.noise if chosen.noise is None else chosen.noise
        if chosen.regime == "mixed":
            share = chosen.share if chosen.share is not None else regime.share or 0.0
            sources, shares = [*sources, "random"], [share, 1 - share]
    place = None if outside is None else collecting.Outside(*outside)
    steps = STEPS if chosen.steps is None else chosen.steps
    found = collecting.gather(
        env, sources, steps, chosen.seed, chosen.sampled, shares, noise, place
    )
    return (
        [stitched(data, chosen.length) for data in found] if regime and regime.stitched else found
    )


def stitched(data: Transition, length: int | None = None) -> Transition:
    """The same steps in parts that are shorter than every episode that ended.

    With no `length` they are half as long as the shortest of those that terminated, or, if none
    did, of those that were truncated. No part then leads from a start to the end of an episode.
    Raises an InputError if none ended, if one has a single step, or if `length` is too large.
    """
    import jax

    from jaxrl.data import cut, episodes

    found = episodes(data)
    lengths = np.asarray(found.lengths)
    ended = np.asarray(found.terminated if found.terminated.any() else found.truncated)
    require(
        bool(ended.any()),
        "No episode ended, so that it is not known how short its parts must be: collect more "
        "--steps.",
    )
    shortest = int(lengths[ended].min())
    most = shortest // 2 if length is None else length
    require(
        0 < most < shortest,
        f"The shortest episode has {shortest} steps, and the regime stitched needs parts that are "
        f"shorter, but --length is {most}."
        if length is not None
        else "An episode of a single step cannot be cut into parts.",
    )
    return jax.device_get(cut(data, most))


def tell(path: Path, chosen: Any, episodes: list | None = None, env: str = "") -> None:
    """Print what is in a data set, which is read if its episodes are not given."""
    from experiments import datasets, inspection

    notes: dict[str, Any] = {"regime": chosen.regime}
    if episodes is None:
        episodes, notes = datasets.described(str(path))
    name = env or chosen.env or notes.get("env", "")
    if notes.get("regime") == "stitched":
        name = ""  # the returns of parts are not to be compared with those of whole episodes
    reference = None
    if chosen.reference is not None:
        reference = datasets.described(str(chosen.reference))[0]
    found = inspection.report(episodes, name, chosen.bins, reference)
    for line in inspection.sentences(found, str(path), chosen.bins):
        print(line)
