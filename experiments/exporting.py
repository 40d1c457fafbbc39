"""Policies of trained agents as files that need only jax."""

import sys
from pathlib import Path

from experiments import building, configuration, results
from experiments.configuration import Configuration
from experiments.evaluation import best_member, restore_member
from jaxrl.errors import InputError, require
from jaxrl.policy import SUFFIX, name_of, serialise


def place_of(config: Configuration, folder: Path, out: Path | None, seed: int | None) -> Path:
    """Where a policy shall be written: to `out`, or else to where `jaxrl.load` looks for it."""
    seeds = range(config.seed, config.seed + config.seeds)
    require(
        seed is None or seed in seeds,
        f"{folder} has the seeds {seeds[0]} to {seeds[-1]}, but not {seed}.",
    )
    if out is None:
        return folder / "policy" / f"{name_of(seed)}{SUFFIX}"
    require(not out.exists(), f"{out} exists: choose another file with --out.")
    return out


def export(config: Configuration, folder: Path, place: Path, seed: int | None = None) -> str:
    """Write the greedy policy of the best member, or of the best with a seed; say so in a sentence.

    Raises an InputError for a policy that cannot be lowered. Agents that search in the simulator
    take its whole state as their observation.
    """
    member = best_member(config, folder, seed)
    hp, run = restore_member(config, folder, member)
    setup = building.build(config, hp)
    view = setup.agent.update.read(run.learner)
    action = configuration.make_env(config).spec.action
    actor, spec = building.acting(config, hp, setup.agent.exploit, setup.env.spec)
    content = serialise(actor, view, spec, action)
    results.make_folder(place.parent)
    new = place.with_name(f"{place.name}.new")
    new.write_bytes(content)
    new.replace(place)
    return (
        f"The policy of seed {config.seed + member % config.seeds} is in {place}: jaxrl.load and "
        "jax.export.deserialize read it."
    )


def after_training(config: Configuration, folder: Path) -> None:
    """Leave the best member's policy in a results folder; say on stderr if that is not possible."""
    try:
        print(export(config, folder, place_of(config, folder, None, None)))
    except InputError as error:
        print(f"No policy was exported: {error}", file=sys.stderr)
