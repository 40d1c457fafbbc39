"""No agent uses a key twice: counted in the traced program of a short life of each."""

from collections import defaultdict

import jax
import jax.numpy as jnp
import pytest

import envs
from agents import AGENTS
from jaxrl import assemble
from jaxrl.fields import takes
from tests.agents.cases import entry_of, world_of
from tests.agents.keys import uses

TINY = dict(
    num_envs=2, rollout_length=4, epochs=1, minibatches=1, hidden=(4,), model_hidden=(4,),
    batch_size=4, buffer_size=128, warmup=16, updates=1, members=2, elites=1, dreams=2,
    simulations=2, horizon=2, burn_in=1, sequence_length=4, tasks=2,
)  # fmt: skip
CONTINUOUS = (
    "sac", "redq", "droq", "rlpd", "wsrl", "tqc", "td3", "d4pg", "beer", "mbpo", "mopo", "combo",
    "morec", "ravl", "svg", "sindy", "pets", "sequence-sac", "recurrent-sac", "td3-bc", "rebrac",
    "cql", "cal-ql", "sac-n", "edac", "bcq", "prdc", "a2pr", "oer", "diffusion-bc", "flow-bc",
    "idql", "fql", "expo", "cocoa", "hil-serl", "resfit", "dsrl", "td-mpc",
    "skills",
)  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("name", AGENTS)
def test_no_key_is_used_twice(name):
    """In warm-up, a rollout, an update and an evaluated action; environments included."""
    entry = entry_of(name)
    hp = entry.defaults.replace(**{k: v for k, v in TINY.items() if takes(entry.defaults, k)})
    env = world_of(name, envs.make("Pendulum-v1" if name in CONTINUOUS else "chain"))
    env = entry.world(env, hp)
    setup = assemble(entry.maker(env), env, hp)

    def life(key):
        k_run, k_act = jax.random.split(key)
        run = setup.experiment.init(k_run)
        if name in ("pets", "td-mpc"):  # plans are compared by common random numbers, on purpose
            return run.step
        run, _ = setup.experiment.step(run)
        view, obs = setup.agent.update.read(run.learner), run.world[1].obs
        memory = setup.agent.exploit.init(hp.collection.num_envs)
        return run.step, setup.agent.exploit.step(view, memory, obs, k_act)[0]

    found = uses(life, jax.random.key(3))
    assert len(found) > 100
    assert not {key: sites for key, sites in found.items() if len(sites) > 1}


def twice(key):
    return jax.random.normal(key), jax.random.uniform(key)


def child_by_fold(key):
    return jax.random.normal(jax.random.split(key)[1]), jax.random.normal(
        jax.random.fold_in(key, 1)
    )


def in_a_scan(key):
    return jax.lax.scan(lambda c, _: (c, jax.random.normal(key)), 0, None, 3)


def in_a_branch(key):
    draw = lambda key: jax.random.normal(key)
    return jax.lax.cond(jnp.sin(1.0) > 0, draw, lambda key: draw(key) + draw(key), key)


def healthy(key):
    keys = jax.random.split(key, (3, 2))
    one = lambda c, k: (c + jax.random.normal(jax.random.fold_in(k[0], c)).astype(int), k[1])
    _, rest = jax.lax.scan(one, 0, keys)
    draws = jax.vmap(jax.jit(jax.random.normal))(rest)
    return draws, jax.lax.cond(draws[0] > 0, jax.random.normal, jax.random.uniform, keys[0, 0])


@pytest.mark.parametrize("program", [twice, child_by_fold, in_a_scan, in_a_branch, healthy])
def test_the_count_finds_every_kind_of_reuse(program):
    found = uses(program, jax.random.key(0))
    assert found and isinstance(found, defaultdict)
    assert any(len(sites) > 1 for sites in found.values()) == (program is not healthy)
