"""Reference returns of environments, between which `jaxrl compare` normalises scores.

`jaxrl benchmark references` plays random actions in every environment of a kept result of
`jaxrl benchmark learning`, and takes as the expert's return the highest that is kept there.
"""

import dataclasses
import json
from pathlib import Path

import jax

import envs
from experiments import options, results
from experiments.benchmarks import learning
from experiments.references import FILE
from jaxrl.environments import scale_actions
from jaxrl.errors import require
from jaxrl.evaluation import evaluate
from jaxrl.rollouts import random_actions
from jaxrl.types import Box, lanes, memoryless

KEPT = Path(__file__).parent / "kept/learning.json"


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure the reference returns of environments, and write them to a file."""

    episodes: int = 1024
    """Episodes of random actions in each environment."""
    out: Path = FILE
    """File of the table."""


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    chosen = options.parse("benchmark references", Options, arguments)
    require(chosen.episodes > 0, f"episodes must be positive, but it is {chosen.episodes}.")
    table = {}
    for env, (name, expert) in sorted(experts().items()):
        table[env] = {
            "random": random_return(env, chosen.episodes),
            "expert": expert,
            "source": f"jaxrl benchmark learning --only {name}",
        }
        print(f"{env}: random {table[env]['random']:.4g}, expert {expert:.4g} ({name})")
    results.write_whole(chosen.out, json.dumps(table, indent=2) + "\n")


def experts() -> dict[str, tuple[str, float]]:
    """The kept claim of the highest mean return in each environment, and that return.

    Environments with parameters of their own are left out, for a reference goes by the name alone.
    """
    found: dict[str, tuple[str, float]] = {}
    for row in json.loads(KEPT.read_text()):
        words = learning.CLAIMS[row["claim"]].command.split()
        env = words[words.index("--env") + 1]
        if "--env-params" not in words and row["mean"] > found.get(env, ("", -float("inf")))[1]:
            found[env] = row["claim"], row["mean"]
    return found


def random_return(name: str, episodes: int) -> float:
    """The mean return of uniformly random actions."""
    env = envs.make(name)
    env = scale_actions(env) if isinstance(env.spec.action, Box) else env

    def act(view: tuple, obs: jax.Array, key: jax.Array) -> tuple:
        return random_actions(env.spec, lanes(obs), key, obs), ()

    play = jax.jit(lambda key: evaluate(env, memoryless(act), (), key, episodes))
    return float(play(jax.random.key(0)).returns.mean())
