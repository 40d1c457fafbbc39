"""Rewards as programmes of a small language, and a search over them that is compiled once.

A programme is data: N lines, each of an operation on one or two registers. The registers hold the
F features, then the result of each line, and the last line is the reward. Since no programme needs
a program of its own, a population of them is trained by `jax.vmap`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import require, require_fraction, require_positive
from jaxrl.types import Array, Key

OPERATIONS: dict[str, tuple[Callable[[Array, Array, Array], Array], str]] = {
    "constant": (lambda a, b, c: c + 0 * a, "{c}"),
    "scaled": (lambda a, b, c: c * a, "{c} * {a}"),
    "sum": (lambda a, b, c: a + b, "({a} + {b})"),
    "difference": (lambda a, b, c: a - b, "({a} - {b})"),
    "product": (lambda a, b, c: a * b, "{a} * {b}"),
    "minimum": (lambda a, b, c: jnp.minimum(a, b), "min({a}, {b})"),
    "absolute": (lambda a, b, c: jnp.abs(a), "abs({a})"),
    "bounded": (lambda a, b, c: jnp.tanh(c * a), "tanh({c} * {a})"),
    "near": (lambda a, b, c: jnp.exp(-jnp.square(c * a)), "exp(-({c} * {a})**2)"),
    "above": (lambda a, b, c: (a > c).astype(a.dtype), "({a} > {c})"),
}
"""What a line may do with the registers a and b and its constant c, and how it is written."""
NAMES = tuple(OPERATIONS)


class Programme(NamedTuple):
    """The lines of one programme, or of a population with a leading axis."""

    operation: Array  # [N] int32, the place in `NAMES`
    left: Array  # [N] int32, a register before the line's own
    right: Array  # [N] int32, another one
    constant: Array  # [N]


def evaluated(programme: Programme, features: Array) -> Array:
    """The values [..., N] of all lines, of features [..., F]; the last one is the reward.

    The others are its terms, by which a proposer may see which of them vary.
    """
    inputs = features.shape[-1]
    lines = programme.operation.shape[0]
    blank = jnp.zeros((*features.shape[:-1], lines), features.dtype)
    registers = jnp.moveaxis(jnp.concatenate([features, blank], -1), -1, 0)

    def line(registers: Array, row: tuple[Array, Programme]) -> tuple[Array, Array]:
        at, (operation, left, right, constant) = row
        a, b = registers[left], registers[right]
        results = jnp.stack([act(a, b, constant) for act, _ in OPERATIONS.values()])
        value = results[operation]
        return registers.at[inputs + at].set(value), value

    _, values = jax.lax.scan(line, registers, (jnp.arange(lines), programme))
    return jnp.moveaxis(values, 0, -1)


def reward_of(programme: Programme, features: Array) -> Array:
    """The rewards [...] of a programme, of features [..., F]."""
    return evaluated(programme, features)[..., -1]


def random_programme(key: Key, features: int, lines: int) -> Programme:
    """A programme whose operations, registers and constants are drawn at random.

    Constants are standard normal. Raises an InputError unless there are features and lines.
    """
    require_positive(features=features, lines=lines)
    k_operation, k_left, k_right, k_constant = jax.random.split(key, 4)
    known = features + jnp.arange(lines)

    def register(key: Key) -> Array:
        which = (jax.random.uniform(key, (lines,)) * known).astype(jnp.int32)
        return jnp.minimum(which, known - 1)

    return Programme(
        jax.random.randint(k_operation, (lines,), 0, len(NAMES)),
        register(k_left),
        register(k_right),
        jax.random.normal(k_constant, (lines,)),
    )


def mutated(key: Key, programme: Programme, features: int, rate: float | Array = 0.3) -> Programme:
    """A programme each of whose entries is drawn anew with probability `rate`.

    Constants are not drawn anew, but changed by a normal step or halved, doubled and negated by a
    factor. Raises an InputError unless the rate is in [0, 1].
    """
    require_fraction(rate=rate)
    k_new, k_which, k_step, k_scale, k_how = jax.random.split(key, 5)
    lines = programme.operation.shape[0]
    new = random_programme(k_new, features, lines)
    step = 0.3 * jax.random.normal(k_step, (lines,))
    scale = jnp.array([0.5, 2.0, -1.0])[jax.random.randint(k_scale, (lines,), 0, 3)]
    steps = jax.random.uniform(k_how, (lines,)) < 0.5
    constant = jnp.where(steps, programme.constant + step, programme.constant * scale)
    changed = jax.random.uniform(k_which, (4, lines)) < rate
    fields = zip(changed, new._replace(constant=constant), programme)
    return Programme(*(jnp.where(where, fresh, old) for where, fresh, old in fields))


def written(programme: Programme, names: Sequence[str]) -> str:
    """The reward of a programme as an expression of the features' names."""
    registers = list(names)
    rows = zip(*(np.asarray(field).tolist() for field in programme))
    for operation, left, right, constant in rows:
        form = OPERATIONS[NAMES[operation]][1]
        registers.append(form.format(a=registers[left], b=registers[right], c=f"{constant:.2g}"))
    return registers[-1]


Choose = Callable[[Array, Key], Array]
"""(fitnesses [K], key) -> the place [] of the one that is chosen."""


def highest(fitness: Array, key: Key) -> Array:
    """The place [] of the highest fitness [K]."""
    return fitness.argmax()


def tournament(temperature: float | Array) -> Choose:
    """The choice of a judge who sees two behaviours at a time, and keeps the better one.

    Of K there are K - 1 comparisons, each of which is right with probability sigmoid(difference of
    fitnesses / temperature). Source of judging policies and not segments: Yu et al. (2024),
    "ICPL", https://arxiv.org/abs/2410.17233.
    """
    require_positive(temperature=temperature)

    def choose(fitness: Array, key: Key) -> Array:
        def meet(best: Array, row: tuple[Array, Array]) -> tuple[Array, None]:
            other, luck = row
            gap = jnp.nan_to_num((fitness[other] - fitness[best]) / temperature)
            return jnp.where(luck < jax.nn.sigmoid(gap), other, best), None

        others = jnp.arange(1, len(fitness))
        luck = jax.random.uniform(key, others.shape)
        return jax.lax.scan(meet, jnp.zeros((), others.dtype), (others, luck))[0]

    return choose


class Search(NamedTuple):
    """What a search over programmes found."""

    best: Programme  # of the last generation
    fitness: Array  # [generations] of those that were chosen
    programmes: Programme  # [generations, K, ...] all that were tried
    scores: Array  # [generations, K]


def searched(
    key: Key,
    fitness: Callable[[Programme, Key], Array],
    features: int,
    lines: int,
    population: int = 16,
    generations: int = 5,
    rate: float | Array = 0.3,
    choose: Choose = highest,
) -> Search:
    """Search programmes by their fitness: the best of K, then K - 1 mutations of it, and so on.

    `fitness(programme, key)` [] trains by the programme and judges by the task, and is vmapped.
    The best is the highest one, or what `choose` says, as `tournament` does. The proposer is random
    mutation. Source of the loop: Ma et al. (2024), "Eureka: human-level reward design via coding
    large language models", https://arxiv.org/abs/2310.12931. Raises an InputError unless there are
    two programmes and a generation.
    """
    require(population > 1, f"population must be above one, but it is {population}.")
    require_positive(generations=generations)
    k_first, k_search = jax.random.split(key)
    first = jax.vmap(lambda key: random_programme(key, features, lines))(
        jax.random.split(k_first, population)
    )

    def generation(tried: Programme, key: Key) -> tuple[Programme, tuple]:
        k_fit, k_mutate, k_choose = jax.random.split(key, 3)
        scores = jax.vmap(fitness)(tried, jax.random.split(k_fit, population))
        # A programme whose values overflow is the worst, and not unknown.
        scores = jnp.where(jnp.isfinite(scores), scores, -jnp.inf)
        place = choose(scores, k_choose)
        best = jax.tree.map(lambda x: x[place], tried)
        keys = jax.random.split(k_mutate, population)
        children = jax.vmap(lambda key: mutated(key, best, features, rate))(keys)
        following = jax.tree.map(lambda x, own: x.at[0].set(own), children, best)
        return following, (best, scores[place], tried, scores)

    keys = jax.random.split(k_search, generations)
    _, (best, top, tried, scores) = jax.lax.scan(generation, first, keys)
    return Search(jax.tree.map(lambda x: x[-1], best), top, tried, scores)
