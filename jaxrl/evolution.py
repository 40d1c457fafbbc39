"""Population-based training: the worst members copy the best, and their numbers are perturbed.

The population is one vmapped program. Between two generations each member trains with numbers of
its own, such as a learning rate; then some members take over the whole run of a better one, and go
on with numbers near to its. What is found is a schedule, which no fixed number can follow. Source:
Jaderberg et al. (2017), sections 3 and 4.1, https://arxiv.org/abs/1711.09846.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.budget import budget
from jaxrl.errors import require, require_positive, typed_key
from jaxrl.evaluation import evaluate
from jaxrl.loop import advance, assemble
from jaxrl.types import Agent, Array, Counter, Env, Key, Spec, Tree, count, population_axes

Numbers = dict[str, Any]
"""The numbers of each member [M] by name, or of one member []: arrays, or floats."""


class Range(NamedTuple):
    """The interval of a number, and whether it is searched by its logarithm."""

    low: float
    high: float
    log: bool = False


class Evolution(NamedTuple):
    """A population between two generations: to save it is to be able to resume it exactly."""

    runs: Tree  # [M, *], but counters are one for all
    numbers: Numbers
    key: Key
    generation: Counter


class Generation(NamedTuple):
    """What came of a generation."""

    scores: Array  # [M] before any member was replaced
    numbers: Numbers  # with which they were reached
    parents: Array  # [M] int32: the member whose run each takes over, its own index for most


class Evolving(NamedTuple):
    """A population that evolves, as two pure functions."""

    init: Callable[[Key], Evolution]
    step: Callable[[Evolution], tuple[Evolution, Generation]]


def draw(key: Key, ranges: dict[str, Range], members: int) -> Numbers:
    """Numbers [M] from their ranges, uniform or log-uniform."""
    found = {}
    for (name, (low, high, log)), k in zip(ranges.items(), jax.random.split(key, len(ranges))):
        ends = (jnp.log(low), jnp.log(high)) if log else (low, high)
        value = jax.random.uniform(k, (members,), minval=ends[0], maxval=ends[1])
        found[name] = jnp.clip(jnp.exp(value) if log else value, low, high)
    return found


def perturbed(
    key: Key, numbers: Numbers, ranges: dict[str, Range], factors: tuple[float, float], anew: float
) -> Numbers:
    """Numbers [M], each times one of two factors within its range, or drawn anew with a chance."""
    k_draw, k_factor, k_anew = jax.random.split(key, 3)
    members = next(iter(numbers.values())).shape[0]
    fresh, found = draw(k_draw, ranges, members), {}
    keys = zip(jax.random.split(k_factor, len(ranges)), jax.random.split(k_anew, len(ranges)))
    for (name, (low, high, _)), (k, k_new) in zip(ranges.items(), keys):
        factor = jnp.where(jax.random.bernoulli(k, 0.5, (members,)), *factors)
        moved = jnp.clip(numbers[name] * factor, low, high)
        found[name] = jnp.where(jax.random.bernoulli(k_new, anew, (members,)), fresh[name], moved)
    return found


def evolving(
    init: Callable[[Key, Numbers], Tree],
    train: Callable[[Tree, Numbers, Key], Tree],
    score: Callable[[Tree, Numbers, Key], Array],
    ranges: dict[str, Range],
    members: int,
    share: float = 0.25,
    factors: tuple[float, float] = (0.8, 1.25),
    anew: float = 0.25,
) -> Evolving:
    """Population-based training of what `init`, `train` and `score` are for one member.

    After each generation the worst `share` of the members, at least one, take over the run of a
    member drawn from as many of the best, and numbers that are perturbed by one of two `factors` or
    drawn anew with chance `anew`. A score that is not a number is the worst.

    Args:
      init: (key, numbers) -> the run of a member.
      train: (run, numbers, key) -> the run after a generation.
      score: (run, numbers, key) -> [] what is maximised.
      ranges: of each number; the first numbers are drawn from them.
      members: M.
      share: between 0, without selection, and 0.5.
      factors: by which a number is multiplied when it is taken over.
      anew: between 0 and 1.

    Raises:
      InputError: for fewer than two members, no ranges, or a share above one half.
    """
    require(members > 1, f"Population-based training needs two members, but there are {members}.")
    require(bool(ranges), "Population-based training needs a range of at least one number.")
    require(0 <= share <= 0.5, f"share must lie between 0 and 0.5, but it is {share}.")
    for name, (low, high, log) in ranges.items():
        require(low < high, f"The range of {name} is empty: from {low} to {high}.")
        require(not log or low > 0, f"The range of {name} is of logarithms, but begins at {low}.")
    replaced = max(1, int(share * members)) if share else 0

    def start(key: Key) -> Evolution:
        k_numbers, k_runs, k_next = jax.random.split(typed_key(key), 3)
        numbers = draw(k_numbers, ranges, members)
        keys = jax.random.split(k_runs, members)
        axes = population_axes(jax.eval_shape(init, keys[0], first(numbers)))
        return Evolution(jax.vmap(init, out_axes=axes)(keys, numbers), numbers, k_next, count())

    def step(now: Evolution) -> tuple[Evolution, Generation]:
        key = jax.random.fold_in(now.key, now.generation.value)
        k_train, k_score, k_parent, k_explore = jax.random.split(key, 4)
        axes = population_axes(now.runs)
        keys = jax.random.split(k_train, members)
        runs = jax.vmap(train, (axes, 0, 0), axes)(now.runs, now.numbers, keys)
        keys = jax.random.split(k_score, members)
        scores = jax.vmap(score, (axes, 0, 0))(runs, now.numbers, keys)
        order = jnp.argsort(jnp.where(jnp.isnan(scores), -jnp.inf, scores))
        best = order[members - max(replaced, 1) :]
        chosen = best[jax.random.randint(k_parent, (replaced,), 0, len(best))]
        parents = jnp.arange(members).at[order[:replaced]].set(chosen)
        copied = lambda node: node if isinstance(node, Counter) else node[parents]
        runs = jax.tree.map(copied, runs, is_leaf=lambda node: isinstance(node, Counter))
        moved = parents != jnp.arange(members)
        near = perturbed(
            k_explore, {n: x[parents] for n, x in now.numbers.items()}, ranges, factors, anew
        )
        numbers = {n: jnp.where(moved, near[n], x) for n, x in now.numbers.items()}
        after = Evolution(runs, numbers, now.key, Counter(now.generation.value + 1))
        return after, Generation(scores, now.numbers, parents)

    return Evolving(start, step)


def first(numbers: Numbers) -> Numbers:
    """The numbers of the first member."""
    return {name: value[0] for name, value in numbers.items()}


def evolved(
    make_agent: Callable[[Spec, Any], Agent],
    env: Env | Callable[[Any], Env],
    hp: Any,
    ranges: dict[str, Range],
    members: int,
    steps: float,
    generations: int,
    episodes: int = 16,
    **options: Any,
) -> Evolving:
    """Population-based training of an agent: the numbers are hyperparameters that are not static.

    A member takes at least `steps` environment steps in `generations` equal parts, after each of
    which it is scored by its mean return over `episodes` complete episodes. `options` are those of
    `evolving`. Raises an InputError as `evolving` and `jaxrl.loop.assemble` do, and for a number
    that the agent does not have.

    Example:
      pbt = evolved(ppo, env, hp, {"learning_rate": Range(1e-5, 1e-2, log=True)}, 16, 1e6, 50)
      population = pbt.init(jax.random.key(0))
      population, told = jax.lax.scan(lambda x, _: pbt.step(x), population, None, 50)
    """
    require_positive(generations=generations, episodes=episodes)
    make_env = env if callable(env) else lambda hp: env
    updates = max(1, -(-budget(hp, steps, 1).updates // generations))

    def setup(numbers: Numbers) -> Any:
        own = hp.replace(**numbers)
        return assemble(make_agent, make_env(own), own, steps)

    setup({name: x.low for name, x in ranges.items()})  # raises

    def init(key: Key, numbers: Numbers) -> Tree:
        return setup(numbers).experiment.init(key)

    def train(run: Tree, numbers: Numbers, key: Key) -> Tree:
        # A key of its own, so that a copy does not repeat what its parent does.
        return advance(setup(numbers).experiment, run._replace(key=key), updates)[0]

    def score(run: Tree, numbers: Numbers, key: Key) -> Array:
        made = setup(numbers)
        view = made.agent.update.read(run.learner)
        return evaluate(made.env, made.agent.exploit, view, key, episodes).returns.mean()

    return evolving(init, train, score, ranges, members, **options)
