"""Imagined steps per second, beside the bare forward passes of the same networks.

`jaxrl benchmark imagination` measures, for ensembles, whole rollouts with actions, noise, ends and
bookkeeping, and the network alone in a loop; for generators of actions, sampling beside as many
forward passes; for Dreamer, a round of acting and learning beside its matrix products, each at the
speed that it has alone. Candidates take turns; numbers are medians without compilation.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp

import envs
from agents import AGENTS
from experiments import options
from jaxrl import generators, models
from jaxrl.environments import scale_actions
from jaxrl.errors import require_positive
from jaxrl.loop import assemble
from jaxrl.models.dynamics import View, empty_scales
from jaxrl.rollouts import random_actions
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Tree, memoryless

LANES, LENGTH, HIDDEN = 2048, 10, (200, 200)


@dataclass(frozen=True)
class Options:
    """Measure imagined rollouts beside the networks that they consist of."""

    repeats: int = 9
    """Number of runs of each candidate, in turns."""
    calls: int = 5
    """Number of calls in a run."""


def in_turns(
    candidates: dict[str, Callable[[], Any]], repeats: int, calls: int
) -> dict[str, float]:
    """The median time in seconds of a call of each candidate, without compilation."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for run in candidates.values():
        jax.block_until_ready(run())
    for _ in range(repeats):
        for name, run in candidates.items():
            begin = time.perf_counter()
            for _ in range(calls):
                jax.block_until_ready(run())
            times[name].append((time.perf_counter() - begin) / calls)
    return {name: median(found) for name, found in times.items()}


def dreams(members: int, spec: Spec) -> dict[str, Callable[[], Any]]:
    """Rollouts of a Gaussian ensemble in two ways, and its network alone."""
    dynamics = models.gaussian_mlp(spec, members, HIDDEN)
    params = dynamics.init(jax.random.key(0))
    view = View(params, empty_scales(spec), jnp.ones(members, bool))
    obs = jnp.zeros((LANES, *jax.tree.leaves(spec.observation)[0].shape))
    actor = memoryless(lambda view, obs, key: (random_actions(spec, LANES, key), ()))

    def imagine(make: Callable[[View], models.Model], view: View, obs: Array, key: Key) -> Tree:
        return models.branched(make(view), actor, None, obs, key, LENGTH)[0]

    def bare(members: int, params: Tree, x: Array) -> Array:
        """The same number of forward passes, each of the output of the one before."""

        def step(x: Array, _: None) -> tuple[Array, None]:
            out = dynamics.apply(jax.tree.map(lambda p: p[:members], params), x)
            return x + 1e-3 * out.mean[..., :1], None

        return jax.lax.scan(step, x, None, LENGTH)[0]

    width = view.scales.inputs.mean.size
    one = jnp.ones((1, LANES, width))
    many = jnp.ones((members, LANES, width))
    spread = partial(models.dispersed, dynamics, elites=members)
    asked = lambda view: models.ensemble_model(dynamics, view, models.random_member())
    key = jax.random.key(1)
    shared = jax.jit(partial(imagine, spread))
    whole = jax.jit(partial(imagine, asked))
    alone, together = jax.jit(partial(bare, 1)), jax.jit(partial(bare, members))
    return {
        "imagined, a member in each lane": lambda: shared(view, obs, key),
        "imagined, with all for uncertainty": lambda: whole(view, obs, key),
        "bare forward pass of one network": lambda: alone(params, one),
        "bare forward pass of all": lambda: together(params, many),
    }


def samplers(lanes: int = 1024, steps: int = 10) -> dict[str, Callable[[], Any]]:
    """Samples of generators of actions, and as many passes of their network alone."""
    shape, obs = (6,), jnp.ones((lanes, 17))
    seen = jax.ShapeDtypeStruct((17,), jnp.float32)
    network = generators.denoiser(shape, seen, Layers(hidden=(256, 256)))
    flow = generators.flow_matching(network, shape, steps)
    path = generators.cosine()
    diffusion = generators.diffusion(network, shape, path, steps=steps, bound=1.0)
    k_init, k_noise, key = jax.random.split(jax.random.key(0), 3)
    params, noise = network.init(k_init), jax.random.normal(k_noise, (lanes, *shape))
    time = jnp.full(lanes, 0.5)

    def bare(params: Tree, x: Array, obs: Array) -> Array:
        """The same number of forward passes, each of the output of the one before."""
        again = lambda x, _: (x + 1e-3 * network.apply(params, x, time, obs), None)
        return jax.lax.scan(again, x, None, steps)[0]

    passes, sampled, diffused = jax.jit(bare), jax.jit(flow.sample), jax.jit(diffusion.sample)
    return {
        "bare forward passes": lambda: passes(params, noise, obs),
        "flow, by Euler's method": lambda: sampled(params, noise, obs, None),
        "diffusion, ancestral": lambda: diffused(params, noise, obs, key),
    }


def dreamer() -> tuple[Callable[[], Any], Any, int]:
    """One round of Dreamer in CartPole, of 16 steps and a gradient step: jaxpr and parameters."""
    entry = AGENTS["dreamer"]
    setup = assemble(entry.make, envs.make("CartPole-v1"), entry.defaults.replace(updates=1))
    run = jax.jit(setup.experiment.init)(jax.random.key(0))
    step = jax.jit(setup.experiment.step)
    view = setup.agent.update.read(run.learner)
    parameters = sum(x.size for x in jax.tree.leaves((view.world, view.behaviour.params)))
    return lambda: step(run), jax.make_jaxpr(setup.experiment.step)(run).jaxpr, parameters


def products(jaxpr: Any, times: int = 1) -> dict[tuple[int, int, int], int]:
    """The matrix products of a jaxpr, (rows, inner, columns), and their numbers."""
    found: dict[tuple[int, int, int], int] = {}

    def note(shape: tuple[int, int, int], number: int) -> None:
        found[shape] = found.get(shape, 0) + number

    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (left, _), (batch, _) = eqn.params["dimension_numbers"]
            x, y = (v.aval.shape for v in eqn.invars)
            inner, lanes = prod(x[i] for i in left), prod(x[i] for i in batch)
            rows, columns = prod(x) // (inner * lanes), prod(y) // (inner * lanes)
            note((rows, inner, columns), lanes * times)
        often = times * eqn.params.get("length", 1) if eqn.primitive.name == "scan" else times
        for value in jax.tree.leaves(eqn.params, is_leaf=lambda v: hasattr(v, "eqns")):
            inside = getattr(value, "jaxpr", value)
            if hasattr(inside, "eqns"):
                for shape, number in products(inside, often).items():
                    note(shape, number)
    return found


def operations(shapes: dict[tuple[int, int, int], int]) -> float:
    """Floating-point operations of matrix products."""
    return sum(2.0 * a * b * c * number for (a, b, c), number in shapes.items())


def roofline(shapes: dict[tuple[int, int, int], int], repeats: int, calls: int) -> float:
    """The time in seconds of matrix products, each measured alone in a loop."""
    total = 0.0
    for (rows, inner, columns), number in shapes.items():
        if 2.0 * rows * inner * columns * number < 1e-3 * operations(shapes):
            continue  # of those that are a thousandth of all and less
        x, y = jnp.ones((rows, inner)), jnp.full((inner, columns), 1e-3)

        def loop(x: Array, y: Array) -> Array:
            # Each depends on the last, or they would be one.
            again = lambda x, _: (x + 1e-9 * (x @ y).mean(), None)
            return jax.lax.scan(again, x, None, 20)[0]

        run = jax.jit(loop)
        seconds = in_turns({"": lambda run=run, x=x, y=y: run(x, y)}, repeats, calls)[""]
        total += number * seconds / 20
    return total


def main(arguments: list[str]) -> None:
    """Print all tables; raises an InputError for numbers that are not positive."""
    chosen = options.parse("benchmark imagination", Options, arguments)
    require_positive(repeats=chosen.repeats, calls=chosen.calls)
    spec = scale_actions(envs.make("Pendulum-v1")).spec
    for members in (1, 5):
        found = in_turns(dreams(members, spec), chosen.repeats, chosen.calls)
        print(f"An ensemble of {members}, {HIDDEN} units, {LANES} lanes x {LENGTH} steps")
        for name, seconds in found.items():
            rate = LANES * LENGTH / seconds
            share = found["bare forward pass of one network"] / seconds
            print(f"  {name:36}{rate:12.3g} steps/s {100 * share:7.0f} % of one network's")
    found = in_turns(samplers(), chosen.repeats, 4 * chosen.calls)
    print("Actions of six numbers from ten passes of 256 x 256 units, in 1024 lanes")
    for name, seconds in found.items():
        share = found["bare forward passes"] / seconds
        print(f"  {name:36}{1024 / seconds:12.3g} actions/s {100 * share:5.0f} % are its passes")
    step, jaxpr, parameters = dreamer()
    shapes = products(jaxpr)
    seconds = in_turns({"": step}, chosen.repeats, chosen.calls)[""]
    alone = roofline(shapes, chosen.repeats, chosen.calls)
    rate = operations(shapes) / seconds / 1e9
    print(
        f"A round of Dreamer, {parameters} parameters: {1e3 * seconds:.1f} ms, {rate:.1f} GFLOP/s"
    )
    print(f"  its matrix products by themselves take {1e3 * alone:.1f} ms: {alone / seconds:.0%}")
