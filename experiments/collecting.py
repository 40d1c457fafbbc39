"""Collecting transitions of random or trained agents, for data sets."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import building, configuration, host, lanes, population
from experiments.configuration import Configuration
from experiments.evaluation import best_member, restore_member
from experiments.frozen import entry_of
from jaxrl import spaces
from jaxrl.data import require_same_spaces
from jaxrl.environments import auto_reset, vectorize
from jaxrl.errors import require
from jaxrl.loop import assemble, fitted
from jaxrl.rollouts import random_actions, rollout, with_noise
from jaxrl.types import (
    Actor,
    Agent,
    Array,
    Env,
    Key,
    Spec,
    Transition,
    Tree,
    Update,
    memoryless,
    select,
)

LANES = 16
BLOCK = 65_536  # steps of a history that are computed in one call


class Outside(NamedTuple):
    """An environment that runs outside of compiled functions."""

    name: str
    params: dict[str, Any]


def gather(
    env: Env,
    sources: list[str],
    steps: int,
    seed: int,
    sampled: bool,
    shares: list[float] | None = None,
    noise: float = 0.0,
    outside: Outside | None = None,
) -> list[Transition]:
    """Transitions [T, LANES, ...] of each source, `steps` in all, in equal or in given shares.

    A source is `random`, or the results folder of an agent in an environment of the same spaces,
    whose best member acts, greedily or as it explores, with noise if that is above zero. Each
    source has as many steps as its lanes can share equally, rounded up.
    """
    shares = [1 / len(sources)] * len(sources) if shares is None else shares
    found = []
    for i, (source, share) in enumerate(zip(sources, shares)):
        key = jax.random.fold_in(jax.random.key(seed), i)
        each = -(-round(steps * share) // LANES)
        found.append(played(env, source, max(each, 1), key, sampled, noise, outside))
    return found


def played(
    env: Env,
    source: str,
    length: int,
    key: Key,
    sampled: bool,
    noise: float = 0.0,
    outside: Outside | None = None,
) -> Transition:
    """Transitions [length, LANES, ...] of one source in an environment of one lane.

    Of an environment `outside`, `env` is what compiled functions know of it.
    """
    lane = fitted(env)
    if source == "random":
        act = lambda view, obs, key: (random_actions(lane.spec, LANES, key, obs), ())
        actor, view = memoryless(act), ()
    else:
        actor, view = trained(Path(source), env, sampled)
        actor = with_noise(actor, lane.spec, noise) if noise else actor
    if outside is not None:
        return walked(outside, actor, view, env.spec, length, key)

    def run_lanes(key: Key, view: Any) -> Transition:
        k_init, k_roll = jax.random.split(key)
        many = auto_reset(vectorize(lane, LANES))
        start = (*many.init(k_init), actor.init(LANES))
        return rollout(many, actor, view, start, k_roll, length)[1]

    return plain(jax.device_get(jax.jit(run_lanes)(key, view)))


def plain(data: Transition) -> Transition:
    """Transitions without what actors and environments report beside them."""
    return data._replace(extras=(), signals=())


def trained(folder: Path, env: Env, sampled: bool) -> tuple[Actor, Tree]:
    """The actor of the best member in a results folder, and what it sees of its learner."""
    config = configuration.load(folder)
    hp, run = restore_member(config, folder, best_member(config, folder))
    setup = building.build(config, hp)
    actor = setup.agent.explore if sampled else setup.agent.exploit
    actor, seen = building.acting(config, hp, actor, setup.env.spec)
    require_collector(folder, config, seen, env.spec)
    return actor, setup.agent.update.read(run.learner)


def require_collector(folder: Path, config: Configuration, seen: Spec, spec: Spec) -> None:
    """Raise an InputError unless an agent, to which `seen` is shown, fits an environment's spec."""
    names = (f"{config.env}, for which {folder} holds an agent,", "this environment")
    require_same_spaces(configuration.make_env(config).spec, spec, names)
    require(
        jax.tree.structure(seen.observation) == jax.tree.structure(spec.observation),
        f"{folder} holds {config.agent}, which sees more than the environment shows, so it cannot "
        "act in another one.",
    )


def walked(
    outside: Outside, actor: Actor, view: Tree, spec: Spec, length: int, key: Key
) -> Transition:
    """As the rollout of `played`, in an environment that is stepped on the host."""
    k_begin, k_act = jax.random.split(key)
    world = host.World(lanes.opened(outside.name, outside.params, LANES), 1)
    space, of_one = spaces.plain(spec.action), lambda tree: jax.tree.map(lambda x: x[0], tree)
    as_one = lambda tree: jax.tree.map(lambda x: x[None], tree)

    @jax.jit
    def act(memory: Tree, obs: Tree, time: Array, view: Tree) -> tuple:
        k = jax.random.fold_in(k_act, time)
        action, memory, _ = actor.step(view, memory, of_one(obs), k)
        return as_one(action), as_one(spaces.from_unit(space, action)), memory, ()

    @jax.jit
    def renewed(memory: Tree, last: Array) -> Tree:
        return select(last[0], actor.init(LANES), memory)

    first = actor.init(LANES)
    renew = renewed if jax.tree.leaves(first) else lambda memory, last: memory
    now = world.begin(host.seeds(k_begin[None], LANES))
    step = lambda memory, obs, time: act(memory, obs, time, view)
    rows, _ = host.walked(world, now, first, step, renew, length)[2]
    return plain(of_one(rows))


class Seen(NamedTuple):
    """The state of a learner that is watched, and the steps that it was last given."""

    inner: Tree
    steps: Transition  # [T, B, ...]


def recorded(agent: Agent) -> Agent:
    """The same agent, whose state tells what it has just learnt from, its warm-up at first."""

    def apply(state: Seen, batch: Transition, key: Key) -> tuple[Seen, dict]:
        inner, metrics = agent.update.apply(state.inner, batch, key)
        return Seen(inner, plain(batch)), metrics

    def init(key: Key, example: Transition) -> Seen:
        return Seen(agent.update.init(key, example), plain(example))

    return agent._replace(update=Update(init, apply, lambda state: agent.update.read(state.inner)))


def history(folder: Path, spec: Spec, steps: int | None = None) -> Transition:
    """All transitions [T, B, ...] of the training of the best member, or the first `steps`.

    Its training is repeated, from its seed on and with its warm-up. Raises an InputError if it was
    trained on a data set, in an environment of another spec, or outside of compiled functions.
    """
    config = configuration.load(folder)
    require(
        not config.dataset, f"{folder} was trained on a data set, and so has no history of its own."
    )
    require(
        not config.base,
        f"{folder} goes on from {config.base}, and its history cannot be repeated without that: "
        "choose another regime than replay.",
    )
    require(
        not lanes.outside(config.env),
        f"The history of {folder} cannot be repeated, because {config.env} runs outside of "
        "compiled functions: choose another regime than replay.",
    )
    member = best_member(config, folder)
    hp = configuration.hyperparameters(config, member // config.seeds if config.sweep else None)
    entry = entry_of(config)
    require(
        entry.beside is None,
        f"What {folder} learnt from are not its own actions, because a policy acted beside it: "
        "choose another regime than replay.",
    )
    own = configuration.make_env(config)
    env = entry.world(own, hp)
    require_collector(folder, config, env.spec, spec)
    make = building.making(config, entry, env)
    exp = assemble(lambda spec, hp: recorded(make(spec, hp)), env, hp, config.steps).experiment
    spent, number = config.budget, hp.collection.num_envs
    key = population.member_keys(np.array([config.seed + member % config.seeds]))[0, 0]
    run = jax.jit(exp.init)(key)
    parts = [jax.device_get(run.learner.steps)]
    shape = jax.eval_shape(exp.step, run)[0].learner.steps
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape)
    run = run._replace(learner=run.learner._replace(steps=blank))
    size = max(1, min(spent.updates, BLOCK // spent.per_update))

    def tell(run: Any, _: None) -> tuple[Any, Transition]:
        run = exp.step(run)[0]
        return run, run.learner.steps

    block = jax.jit(lambda run: jax.lax.scan(tell, run, None, size), donate_argnums=0)
    wanted = spent.warmup + spent.updates * spent.per_update
    rows = -(-min(wanted, steps or wanted) // number)
    while sum(len(part.reward) for part in parts) < rows:
        run, told = block(run)
        flat = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), told)
        parts.append(flat)
    return jax.tree.map(lambda *x: np.concatenate(x)[:rows], *parts)
