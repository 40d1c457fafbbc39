"""Steps per second of environments of other packages, beside the packages' own loops.

`jaxrl benchmark environments` takes random actions in lanes of `vectorize` and
`auto_reset_from_pool`, and in the loop of the suite's package that resets its lanes by itself. Both
run in one process and in turns, so that other load on the machine affects them alike.
"""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import envs
from envs import suites
from experiments import options, results
from jaxrl.errors import InputError, require, require_positive
from jaxrl.loop import self_resetting
from jaxrl.rollouts import random_actions
from jaxrl.types import Array, Env, Key, Tree

PARAMS = {"pgx/connect_four": {"opponent": "self"}}  # one move a step, as in the package's loop
ENVIRONMENTS = (
    "navix/Navix-Empty-8x8-v0",
    "xland/XLand-MiniGrid-R1-9x9",
    "jumanji/Game2048-v1",
    "jumanji/Snake-v1",
    "pgx/connect_four",
    "brax/inverted_pendulum",
    "playground/CartpoleBalance",
    "craftax/Craftax-Classic-Symbolic-v1",
    "craftax/Craftax-Symbolic-v1",
)


class Loop(NamedTuple):
    """Lanes that reset themselves: their state, and a step with random actions."""

    init: Callable[[Key], Tree]
    step: Callable[[Tree, Key], tuple[Tree, Array]]  # (state, key) -> (state, rewards [B])


def ours(env: Env, lanes: int) -> Loop:
    """Our lanes, which reset themselves as in training: from a pool of initial states."""
    batch = self_resetting(env, lanes)

    def init(key: Key) -> Tree:
        state, ts = batch.init(key)
        return state, ts.obs

    def step(carry: Tree, key: Key) -> tuple[Tree, Array]:
        act_key, step_key = jax.random.split(key)
        state, obs = carry
        state, ts = batch.step(state, random_actions(env.spec, lanes, act_key, obs), step_key)
        return (state, ts.obs), ts.reward

    return Loop(init, step)


def allowed(mask: Array, key: Key) -> Array:
    """Random actions [B] among those that a mask [B, A] allows."""
    return jax.random.categorical(key, jnp.where(mask, 0.0, -jnp.inf))


def brax_like(wrap: Callable[[Any], Any], env: Any, spec: Any, lanes: int) -> Loop:
    """The loop of brax and of MuJoCo Playground, in their training wrappers."""
    wrapped = wrap(env)

    def step(state: Tree, key: Key) -> tuple[Tree, Array]:
        state = wrapped.step(state, random_actions(spec, lanes, key))
        return state, state.reward

    # Its wrappers take their shapes from keys of the older kind.
    keys = lambda key: jax.random.key_data(jax.random.split(key, lanes))
    return Loop(lambda key: wrapped.reset(keys(key)), step)


def theirs(name: str, env: Env, lanes: int) -> Loop:
    """The loop of the suite's package, which resets its lanes by itself."""
    prefix, _, short = name.partition("/")
    act = lambda key: random_actions(env.spec, lanes, key)
    if prefix == "brax":
        from brax.envs.wrappers import training

        made = suites.module("brax")._made(name, "generalized", {})
        return brax_like(partial(training.wrap, episode_length=1000), made, env.spec, lanes)
    if prefix == "playground":
        wrapper = suites.imported("mujoco_playground._src.wrapper")
        made = suites.module("playground")._made(name, {})
        return brax_like(wrapper.wrap_for_brax_training, made, env.spec, lanes)
    if prefix == "craftax":
        made = suites.imported("craftax.craftax_env").make_craftax_env_from_name(short, True)

        def step(state: Tree, key: Key) -> tuple[Tree, Array]:
            act_key, step_key = jax.random.split(key)
            keys = jax.random.split(step_key, lanes)
            _, state, reward, _, _ = jax.vmap(made.step)(keys, state, act(act_key))
            return state, reward

        return Loop(lambda key: jax.vmap(made.reset)(jax.random.split(key, lanes))[1], step)
    if prefix == "jumanji":
        plain = suites.imported("jumanji").make(short)
        made = suites.imported("jumanji.wrappers").VmapAutoResetWrapper(plain)

        def begin(key: Key) -> Tree:
            state, ts = made.reset(jax.random.split(key, lanes))
            return state, ts.observation.action_mask

        def play(carry: Tree, key: Key) -> tuple[Tree, Array]:
            state, ts = made.step(carry[0], allowed(carry[1], key))
            return (state, ts.observation.action_mask), ts.reward

        return Loop(begin, play)
    if prefix == "pgx":
        made = suites.imported("pgx").make(short)
        again = suites.imported("pgx.experimental").auto_reset(made.step, made.init)

        def move(state: Tree, key: Key) -> tuple[Tree, Array]:
            act_key, step_key = jax.random.split(key)
            action = allowed(state.legal_action_mask, act_key)
            state = jax.vmap(again)(state, action, jax.random.split(step_key, lanes))
            return state, state.rewards[:, 0]

        return Loop(lambda key: jax.vmap(made.init)(jax.random.split(key, lanes)), move)
    if prefix == "navix":
        made = suites.imported("navix").make(short)
        stepped, reset = made.step, made.reset
    else:
        plain, params = suites.imported("xminigrid").make(short)
        made = suites.imported("xminigrid.wrappers").GymAutoResetWrapper(plain)
        stepped, reset = partial(made.step, params), partial(made.reset, params)

    def step_all(state: Tree, key: Key) -> tuple[Tree, Array]:
        state = jax.vmap(stepped)(state, act(key))
        return state, state.reward

    return Loop(lambda key: jax.vmap(reset)(jax.random.split(key, lanes)), step_all)


class Timed(NamedTuple):
    """A compiled loop with the state that it is in."""

    run: Callable[[Tree, Key], tuple[Tree, Array]]
    state: Tree
    times: list[float]  # seconds a step of all lanes


def prepare(loop: Loop, steps: int) -> Timed:
    """Compile `steps` steps of a loop, and run them once."""

    def run(state: Tree, key: Key) -> tuple[Tree, Array]:
        state, rewards = jax.lax.scan(loop.step, state, jax.random.split(key, steps))
        return state, rewards.sum()

    state = jax.jit(loop.init)(jax.random.key(0))
    state = jax.tree.map(jnp.array, state)  # strong types, which the loop must keep
    compiled = jax.jit(run).lower(state, jax.random.key(1)).compile()
    return Timed(compiled, jax.block_until_ready(compiled(state, jax.random.key(1)))[0], [])


def measured(loops: dict[str, Timed], steps: int, repeats: int) -> dict[str, float]:
    """The median of seconds a step of each loop, all of which run in turns."""
    for repeat in range(repeats):
        for name, (run, state, times) in loops.items():
            begin = time.perf_counter()
            state, _ = jax.block_until_ready(run(state, jax.random.key(repeat)))
            times.append((time.perf_counter() - begin) / steps)
            loops[name] = Timed(run, state, times)
    return {name: median(timed.times) for name, timed in loops.items()}


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure the speed of environments of other packages, beside the packages' own loops."""

    only: tuple[str, ...] = ()
    """Words of which one must occur in the name of an environment."""
    lanes: tuple[int, ...] = (1, 64, 2048)
    """Numbers of lanes."""
    budget: int = 16_384
    """Environment steps of a timed run, and at least 8 steps of all lanes."""
    repeats: int = 5
    """Timed runs of each loop, in turns."""
    out: Path = Path(".benchmarks/environments.md")
    """File of the table."""


def main(arguments: list[str]) -> None:
    """Run the benchmark; environments whose package is not installed are left out."""
    chosen = options.parse("benchmark environments", Options, arguments)
    require_positive(budget=chosen.budget, repeats=chosen.repeats)
    require(all(n > 0 for n in chosen.lanes), f"lanes must be above zero, not {chosen.lanes}.")
    results.make_folder(chosen.out.parent)
    lines = [
        "| environment | lanes | jaxrl, steps/s | its package, steps/s | ratio |",
        "|---|---|---|---|---|",
    ]
    wanted = [n for n in ENVIRONMENTS if any(word in n for word in chosen.only or ("",))]
    for name in wanted:
        if suites.missing(name):
            print(suites.missing(name))
            continue
        for lanes in chosen.lanes:
            lines.append(line(name, lanes, chosen))
            print(lines[-1], flush=True)
            results.write_whole(chosen.out, "\n".join(lines) + "\n")
            jax.clear_caches()


def line(name: str, lanes: int, chosen: Options) -> str:
    """The row of an environment with a number of lanes."""
    env, steps = envs.make(name, **PARAMS.get(name, {})), max(8, chosen.budget // lanes)
    loops = {"ours": prepare(ours(env, lanes), steps)}
    try:
        loops["theirs"] = prepare(theirs(name, env, lanes), steps)
    except (TypeError, ValueError, InputError) as error:
        print(f"The package's own loop of {name} does not run: {str(error).splitlines()[0]}")
    took = measured(loops, steps, chosen.repeats)
    speed = {kind: lanes / seconds for kind, seconds in took.items()}
    both = "theirs" in speed
    own = f"{speed['theirs']:,.0f}" if both else "does not run"
    ratio = f"{speed['ours'] / speed['theirs']:.2f}" if both else ""
    return f"| {name} | {lanes} | {speed['ours']:,.0f} | {own} | {ratio} |"
