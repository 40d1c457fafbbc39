"""The learning and the evaluation of a population as compiled functions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import building, planning, programs
from experiments.population import Population, Program, Sums, identity, placed
from experiments.programs import kept, packed, unpacked
from jaxrl.buffers import Buffer
from jaxrl.evaluation import Evaluation, evaluate
from jaxrl.offline import shared, without_data
from jaxrl.population import populate
from jaxrl.remote import Remote, remotes, stripped, supplied
from jaxrl.types import Array, Experiment, Key, Run, Tree, population_axes


def compiled(population: Population, data: list[Buffer]) -> Program:
    """The learning of any number of updates, and the evaluation, compiled or kept from before."""
    return kept(
        "program",
        identity(population.config, len(population.seeds), population.mesh),
        lambda: compile_(population, data),
        lambda made: (packed(made.advance), packed(made.evaluate), made.zeros, made.plan),
        lambda found: Program(*map(unpacked, found[:2]), found[2], plan=found[3]),
    )


def learning(p: Population, data: list[Buffer]) -> tuple[Any, tuple, Sums]:
    """The learning of any number of updates, jitted, shapes of its arguments, and sums of zeros.

    With a replay buffer in host memory it is of one update: see `prefetched`.
    """
    if remotes(p.single):
        return prefetched(p)
    config = p.config

    def step(run: Run, hp: Any, data: list[Buffer]) -> tuple[Run, dict]:
        exp = building.build(config, hp).experiment
        return watched(shared(exp, data) if config.dataset else exp).step(run)

    step = jax.jit(step, inline=True)  # so that it is traced once for both uses

    def advance(
        run: Run, sums: Sums, hp: Any, data: list[Buffer], updates: Array
    ) -> tuple[Run, Sums]:
        exp = Experiment(lambda key: run, lambda run: step(run, hp, data))
        return accumulate(exp, run, sums, updates)

    zeros, like = sums_of(p, jax.eval_shape(step, p.single, of_one(p), data)[1])
    axes, parts = (p.axes, 0, p.hp_axes, None, None), (p.parts, None, None, None, None)
    spread = populate(advance, axes, (p.axes, 0), p.mesh, (parts, (p.parts, None)))
    arguments = (p.like, like, p.hp, data, np.int32(1))
    return jax.jit(spread, donate_argnums=0), arguments, zeros


def prefetched(p: Population) -> tuple[Any, tuple, Sums]:
    """`learning` of one update from samples that are an argument: see `jaxrl.prefetch.driven`."""

    def step(run: Run, hp: Any) -> tuple[Run, dict]:
        return watched(building.build(p.config, hp).experiment).step(run)

    step = jax.jit(step, inline=True)  # so that it is traced once for both uses

    def advance(run: Run, sums: Sums, hp: Any, inboxes: list[Array]) -> tuple[Run, Sums]:
        run, metrics = step(supplied(run, inboxes), hp)
        return run, added(sums, metrics)

    after, metrics = jax.eval_shape(step, p.single, of_one(p))
    zeros, like = sums_of(p, metrics)
    axes = (stripped(p.axes), 0, p.hp_axes, 0)
    spread = populate(advance, axes, (population_axes(after), 0), p.mesh)
    inboxes = [node.inbox for node in remotes(p.like)]
    return jax.jit(spread, donate_argnums=0), (stripped(p.like), like, p.hp, inboxes), zeros


def of_one(p: Population) -> Any:
    """The hyperparameters of the first member."""
    pick = lambda axis, x: x if axis is None else x[0]
    return jax.tree.map(pick, p.hp_axes, p.hp, is_leaf=lambda axis: axis is None)


def sums_of(p: Population, metrics: dict) -> tuple[Sums, Tree]:
    """Sums of zeros of the metrics of one member, and their shapes and places."""
    count = len(p.seeds)
    zeros = {name: np.zeros((count, *x.shape), np.float32) for name, x in metrics.items()}
    return zeros, placed(zeros, dict.fromkeys(zeros, 0), p.mesh)


def compile_(population: Population, data: list[Buffer]) -> Program:
    """Compile the learning of any number of updates, and the evaluation.

    Raises an InputError if it does not fit into the memory: before, by what was planned from the
    traced program, or after, by what the compiler says.
    """
    p, config = population, population.config

    def play(run: Run, hp: Any, keys: Key) -> Evaluation:
        setup = building.build(config, hp)
        view = setup.agent.update.read(run.learner)
        key = jax.random.fold_in(keys[1], run.step.value)
        return evaluate(
            setup.env, setup.agent.exploit, view, key, config.episodes, config.max_episode_steps
        )

    learn, arguments, zeros = learning(p, data)
    traced = learn.trace(*arguments)
    plan = planning.plan_of(p.like, traced.jaxpr.jaxpr, data, p.mesh.size)
    planning.require_fits(plan, len(p.seeds), config)
    shared = ((p.parts, None, None), None)
    with programs.ahead() as promised:
        advance = promised(traced.lower())
        axes, like = without_data((p.axes, p.like), Remote)
        score = jax.jit(populate(play, (axes, p.hp_axes, 0), 0, p.mesh, shared))
        scored = promised(score.lower(like, p.hp, p.keys))
    plan = planning.confirmed(plan, advance.result(), p.mesh.size)
    planning.require_fits(plan, len(p.seeds), config)
    return Program(advance.result(), scored.result(), zeros, plan=plan)


def accumulate(exp: Experiment, run: Run, sums: Sums, updates: Array) -> tuple[Run, Sums]:
    """Take a traced number of steps, and add their metrics to `sums`, one after another.

    Both results are therefore the same however a number of steps is split into calls.
    """

    def step(_: Array, carry: tuple[Run, Sums]) -> tuple[Run, Sums]:
        run, metrics = exp.step(carry[0])
        return run, added(carry[1], metrics)

    return jax.lax.fori_loop(0, updates, step, (run, sums))


def added(sums: Sums, metrics: dict) -> Sums:
    """Running sums of metrics after one more step."""
    return {name: total + metrics[name] for name, total in sums.items()}


def watched(experiment: Experiment) -> Experiment:
    """Report, as the metric `finite`, whether all losses of a step are finite numbers."""

    def step(run: Run) -> tuple[Run, dict]:
        run, metrics = experiment.step(run)
        losses = [x for name, x in metrics.items() if not name.startswith("episode")]
        finite = jnp.all(jnp.array([jnp.isfinite(x).all() for x in losses]))
        return run, metrics | {"finite": finite.astype(jnp.float32)}

    return Experiment(experiment.init, step)
