"""Agents of goals in a maze of six cells, against its shortest paths, in one program for each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from envs.goals import cells, distances, transitions
from jaxrl.conditioned import Conditioned
from jaxrl.errors import InputError
from jaxrl.loop import advance
from jaxrl.offline import offline
from jaxrl.types import Goals, Transition

LAYOUT = ("...", "##.", "...")
GAMMA, STEPS, LANES = 0.9, 40, 32


def walks(seed):
    """Random walks [STEPS, LANES] of episodes of 10 steps, without the goals that there were."""
    rng, graph = np.random.default_rng(seed), transitions(LAYOUT)
    place = rng.integers(len(graph), size=LANES)
    rows = []
    for t in range(STEPS):
        action = rng.integers(4, size=LANES)
        after = graph[place, action]
        last = np.full(LANES, t % 10 == 9)
        rows.append((place, action, after, last))
        place = np.where(last, rng.integers(len(graph), size=LANES), after)
    place, action, after, last = (jnp.asarray(np.stack(x)) for x in zip(*rows))
    hot = lambda x: jax.nn.one_hot(x, len(graph), dtype=bool)
    see = lambda x: Conditioned(hot(x), hot(x))
    one = jnp.ones((STEPS, LANES))
    return Transition(see(place), action.astype(jnp.int32), -one, one, last, see(after), (), one)


SMALL = dict(
    num_envs=LANES, buffer_size=STEPS * LANES, warmup=STEPS * LANES, batch_size=64, updates=200,
    hidden=(32,), learning_rate=1e-2,
)  # fmt: skip
OWN = {
    "hiql": dict(subgoal_steps=3, option_steps=2, discount=GAMMA, target_rate=0.05),
    "qrl": dict(farthest=50.0, latent_size=16),
    "crl": dict(
        discount=GAMMA, latent_size=16, cloning=0.05, updates=350, batch_size=128,
        learning_rate=5e-3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ["hiql", "qrl", "crl"])
def test_a_policy_learns_the_shortest_paths_from_random_walks(name):
    """One action of four comes nearer: random policies are right at a quarter of the pairs."""
    env = envs.make("grid-maze", layout=LAYOUT)
    entry, far, graph = AGENTS[name], distances(LAYOUT), transitions(LAYOUT)
    agent = entry.make(env.spec, entry.defaults.replace(**SMALL | OWN[name]))
    count = len(graph)
    hot = jnp.eye(count, dtype=bool)
    pairs = Conditioned(jnp.repeat(hot, count, 0), jnp.tile(hot, (count, 1)))

    @jax.jit
    @jax.vmap
    def trained(key, data):
        exp = offline(agent, data)
        run, metrics = advance(exp, exp.init(key), 1)
        view = agent.update.read(run.learner)
        return agent.exploit.step(view, (), pairs, key)[0], metrics

    data = jax.tree.map(lambda *x: jnp.stack(x), *map(walks, range(2)))
    action, metrics = trained(jax.random.split(jax.random.key(0), 2), data)
    assert all(np.isfinite(x).all() for x in metrics.values())
    action = np.asarray(action).reshape(2, count, count)
    after = graph[np.arange(count)[:, None], action]
    nearer = far[after, np.arange(count)] == far - 1
    right = nearer[:, far > 0].mean(-1)
    print(name, right)
    # Contrastive scores are of what random walks reach, and differ less between actions.
    assert (right > (0.45 if name == "crl" else 0.65)).all(), right


def test_goals_that_do_not_fit_are_told_in_a_sentence():
    maze, chain = envs.make("grid-maze"), envs.make("chain")
    for name in OWN:
        entry = AGENTS[name]
        with pytest.raises(InputError, match=r"must show goals.*grid-maze"):
            entry.make(chain.spec, entry.defaults)
        with pytest.raises(InputError, match="at most 1 together"):
            wrong = entry.defaults.policy_goals.replace(final=0.5)
            entry.make(maze.spec, entry.defaults.replace(policy_goals=wrong))
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    part = Goals(scalar, lambda obs: obs[..., 0], lambda a, g: a == g)
    env = envs.goaled(envs.make("CartPole-v1"), part, lambda key, obs: obs[..., 0])
    with pytest.raises(InputError, match=r"goals that are observations.*float32\[4\].*try hiql"):
        AGENTS["qrl"].make(env.spec, AGENTS["qrl"].defaults)
    AGENTS["hiql"].make(env.spec, AGENTS["hiql"].defaults)
    with pytest.raises(InputError, match="no quasimetric called 'mrm': did you mean mrn"):
        AGENTS["qrl"].make(maze.spec, AGENTS["qrl"].defaults.replace(metric="mrm"))
    with pytest.raises(InputError, match="no contrast called 'forwards': did you mean forward"):
        AGENTS["crl"].make(maze.spec, AGENTS["crl"].defaults.replace(contrast="forwards"))
    assert len(cells(LAYOUT)) == 7
