"""Forbidden actions are never taken, however well they pay, and never bootstrapped from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from jaxrl import advance, assemble, dp
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.fields import takes
from jaxrl.rollouts import random_policy
from jaxrl.types import Transition, lanes, select
from tests.agents.cases import world_of
from tests.agents.test_keys import CONTINUOUS

TABLE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1], [1, 1, 1]], bool)  # [S, A]
GAMMA = 0.8
TINY = dict(
    num_envs=8, rollout_length=8, hidden=(8,), batch_size=8, buffer_size=512, warmup=128,
    minibatches=2, epochs=1, burn_in=1, sequence_length=3, epsilon=0.5, epsilon_updates=0.0,
    tasks=2, discount=GAMMA, simulations=4, state_size=8, size=8, groups=2, classes=4, horizon=2,
    updates=2, normalise_observations=False,
)  # fmt: skip
DISCRETE = [name for name in AGENTS if name not in CONTINUOUS]
COSTLY = ("alphazero", "gumbel-muzero", "dreamer", "repo")


def process():
    """A random process in which whatever is forbidden pays 5 more, and its environment."""
    mdp = envs.tabular_mdp("garnet", states=5, actions=3, seed=2)
    mdp = mdp._replace(reward=mdp.reward + 5.0 * ~TABLE[..., None])
    env = time_limit(envs.from_mdp(mdp), 4)
    allow = lambda obs: obs @ jnp.asarray(TABLE, float) > 0
    return mdp, env._replace(spec=env.spec._replace(mask=allow))


def exact(epsilon):
    """Q [S, A] of acting greedily among the allowed actions but for a share `epsilon`."""
    mdp, _ = process()
    p, r, d = (np.asarray(x, np.float64) for x in (mdp.transition, mdp.reward, mdp.discount))
    if not isinstance(mdp.successors, tuple):
        p, r, d = (dense(x, mdp.successors) for x in (p, r * p, d * p))
        r, d = (np.divide(x, p, out=np.zeros_like(x), where=p > 0) for x in (r, d))
    q = np.zeros((5, 3))
    for _ in range(300):
        best = np.where(TABLE, q, -np.inf).max(-1)
        some = (q * TABLE).sum(-1) / TABLE.sum(-1)
        q = (p * (r + GAMMA * d * ((1 - epsilon) * best + epsilon * some))).sum(-1)
    return q


def dense(x, successors):
    """Entries [S, A, K] of successors [S, A, K] as [S, A, S]."""
    out = np.zeros((5, 3, 5))
    for s, a, k in np.ndindex(x.shape):
        out[s, a, successors[s, a, k]] += x[s, a, k]
    return out


def built(name, env=None, **options):
    entry = AGENTS[name]
    known = {k: v for k, v in (TINY | options).items() if takes(entry.defaults, k)}
    known |= dict(sequence_length=1) if name == "ppo" else {}
    known |= dict(sequence_length=4) if name == "gumbel-muzero" else {}
    hp = entry.defaults.replace(**known)
    env = entry.world(world_of(name, process()[1] if env is None else env), hp)
    return assemble(entry.maker(env), env, hp)


def watched():
    """The environment, which reports each forbidden action that is taken."""
    _, env = process()
    inner = env.step

    def step(state, action, key):
        before = jax.tree.leaves(state)[0]
        state, ts = inner(state, action, key)
        return state, ts._replace(info=ts.info | {"forbidden": ~jnp.asarray(TABLE)[before, action]})

    def init(key):
        state, ts = env.init(key)
        return state, ts._replace(info=ts.info | {"forbidden": jnp.zeros((), bool)})

    return env._replace(init=init, step=step)


def disturbed(view, key):
    """What actors see, with noise in all real numbers: the best action is often forbidden."""
    leaves, structure = jax.tree.flatten(view)
    keys = jax.random.split(key, len(leaves))
    real = lambda x: jnp.issubdtype(x.dtype, jnp.floating)
    noisy = lambda x, k: x + jax.random.normal(k, x.shape, x.dtype) if real(x) else x
    return structure.unflatten(map(noisy, leaves, keys))


# The rule of acting is that of an agent's file: of its lines, those whose networks differ as well.
FIRST = {AGENTS[name].make.__module__: name for name in reversed(DISCRETE)}.values()
ACTING = [name for name in DISCRETE if name in {*FIRST, "rainbow", "iqn", "q-lambda"}]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ACTING)
def test_no_agent_takes_a_forbidden_action(name):
    """With random parameters, so that what is forbidden often seems best.

    The actors that explore and exploit take 3e5 steps of each agent, and 1e4 of those that plan or
    imagine. So does the policy of the warm-up, which is one for all agents.
    """
    steps, num, options = 10 if name in COSTLY else 300, 256, dict(initial_value=10.0)
    if hasattr(AGENTS[name].defaults, "critic"):
        options["critic"] = AGENTS[name].defaults.critic.replace(atoms=5)
    setup = built(name, watched(), **options)
    env, actors = auto_reset(vectorize(setup.env, num)), (setup.agent.explore, setup.agent.exploit)

    def played(actor, view, key):
        k_init, k_run = jax.random.split(key)

        def step(carry, key):
            state, now, memory, count = carry
            k_act, k_step = jax.random.split(key)
            action, memory, _ = actor.step(view, memory, now.obs, k_act)
            state, now = env.step(state, action, k_step)
            memory = select(now.last, actor.init(num), memory)
            return (state, now, memory, count + now.info["forbidden"].sum()), None

        start = (*env.init(k_init), actor.init(num), 0)
        return jax.lax.scan(step, start, jax.random.split(k_run, steps))[0][-1]

    def life(key):
        k_run, k_noise, *k_play, k_warm = jax.random.split(key, 5)
        view = setup.agent.update.read(setup.experiment.init(k_run).learner)
        views = jax.vmap(lambda k: disturbed(view, k))(jax.random.split(k_noise))
        found = [
            jax.vmap(lambda view, actor=actor, k=k: played(actor, view, k))(views)
            for actor, k in zip(actors, k_play, strict=True)
        ]
        if name in ("dqn", "discrete-sac"):
            found.append([played(random_policy(setup.env.spec, setup.agent), None, k_warm)] * 2)
        return found

    assert np.all(np.asarray(jax.jit(life)(jax.random.key(0))) == 0)


@pytest.mark.parametrize(
    "name", ["dqn", "iqn", "munchausen-dqn", "pqn", "r2d2", "q-lambda", "ppo", "proto-value"]
)
def test_no_forbidden_action_is_taken(name):
    """Of 16 learners with random parameters, whose best action is often a forbidden one."""
    setup = built(name)
    agent, obs = setup.agent, jnp.repeat(jnp.eye(5), 20, 0)

    def actions(key):
        k_learn, *k_act = jax.random.split(key, 3)
        learner = agent.update.init(k_learn, example(setup, obs))
        learner = jax.tree.map(
            lambda x: x + jax.random.normal(k_learn, x.shape) if x.dtype == jnp.float32 else x,
            learner,
        ) if name == "q-lambda" else learner  # fmt: skip
        view = agent.update.read(learner)
        return [
            actor.step(view, actor.init(lanes(obs)), obs, k)[0]
            for actor, k in zip((agent.explore, agent.exploit), k_act, strict=True)
        ]

    explored, exploited = jax.jit(jax.vmap(actions))(jax.random.split(jax.random.key(0), 16))
    state = np.arange(100) // 20
    assert TABLE[state, explored].all() and TABLE[state, exploited].all()
    every = [np.unique(np.asarray(explored)[:, state == s]) for s in range(5)]
    assert all(len(found) == TABLE[s].sum() for s, found in enumerate(every))


def example(setup, obs):
    """No experience, of the shapes that the agent stores."""
    start = jax.eval_shape(setup.experiment.init, jax.random.key(0))
    shapes = jax.eval_shape(
        lambda run: setup.agent.explore.step(
            setup.agent.update.read(run.learner), run.world[2], run.world[1].obs, run.key
        ),
        start,
    )
    blank = lambda x: jnp.zeros((0, *x.shape), x.dtype)
    action, _, extras = jax.tree.map(blank, shapes)
    number = jnp.zeros((0, 8))
    see = jnp.zeros((0, 8, 5))
    return Transition(see, action, number, number, number > 0, see, extras, number)


@pytest.mark.parametrize(
    ("name", "epsilon", "own"),
    [("q-learning", 0.7, 0.0), ("expected-sarsa", 0.7, 0.7), ("sarsa-lambda", 0.7, 0.7)],
)
def test_values_are_those_of_the_process_without_forbidden_actions(name, epsilon, own):
    """Of the pairs that may be taken, over 8 seeds, to exact dynamic programming."""
    setup = built(name, epsilon=epsilon, learning_rate=1.0, decay_power=0.6, num_envs=16)

    def table(key):
        run, _ = advance(setup.experiment, setup.experiment.init(key), 1500)
        return setup.agent.update.read(run.learner).params

    found = np.asarray(jax.jit(jax.vmap(table))(jax.random.split(jax.random.key(0), 8)))
    wanted = exact(own)
    assert np.abs(found.mean(0) - wanted)[TABLE].max() < 0.1
    assert (found[:, ~TABLE] == 0).all()  # they were never tried


def test_the_loss_of_ppo_has_the_policy_that_acted():
    """No ratio is away from one before the first step, so that the divergence is zero."""
    setup = built("ppo", minibatches=1)
    step = jax.jit(lambda key: setup.experiment.step(setup.experiment.init(key))[1])
    metrics = step(jax.random.key(0))
    assert abs(float(metrics["approximate_kl"])) < 1e-6 and float(metrics["clip_fraction"]) == 0
    assert float(metrics["entropy"]) < np.log(3) - 0.1  # not that of all actions


def guarded():
    """A grid in which each cell has a forbidden direction that would pay, as a process and a world.

    The process whose forbidden actions are replaced by an allowed one has the same optimum.
    """
    mdp = dp.dense(envs.tabular_mdp("gridworld", rows=3, columns=3, slip=0.1))
    state = np.arange(9)
    some = np.arange(4) != (state[:, None] * 3 + 1) % 4
    env = time_limit(envs.from_mdp(mdp._replace(reward=mdp.reward + 5.0 * ~some[..., None])), 12)
    allow = lambda obs: obs @ jnp.asarray(some, float) > 0
    other = np.where(some, np.arange(4), some.argmax(-1)[:, None])
    replaced = mdp._replace(
        **{
            name: getattr(mdp, name)[state[:, None], other]
            for name in ("transition", "reward", "discount")
        }
    )
    exact = np.asarray(dp.value_iteration(replaced, 0.9).theta)
    return some, exact, env._replace(spec=env.spec._replace(mask=allow))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["q-learning", "dqn", "pqn", "discrete-sac"])
def test_a_masked_agent_finds_the_optimum_of_what_is_allowed(name):
    """On a grid, in every state of four seeds: its policy there is one of the best.

    Exact dynamic programming on the process without the forbidden actions is the oracle.
    """
    some, exact, env = guarded()
    options = dict(
        discount=0.9, epsilon=0.6, num_envs=16, rollout_length=4, hidden=(), batch_size=256,
        buffer_size=8192, warmup=1024, updates=4, learning_rate=2e-2, target_period=20,
        initial_value=0.0, minibatches=2, epochs=2, learn_temperature=False,
        initial_temperature=0.02, target_rate=0.05 if name == "discrete-sac" else 1.0,
    )  # fmt: skip
    options |= dict(learning_rate=1.0, decay_power=0.6) if name == "q-learning" else {}
    setup = built(name, env, **options)

    def learnt(key):
        k_run, k_act = jax.random.split(key)
        run, _ = advance(setup.experiment, setup.experiment.init(k_run), 500)
        view = setup.agent.update.read(run.learner)
        return view.params, setup.agent.exploit.step(view, (), jnp.eye(9), k_act)[0]

    params, action = jax.jit(jax.vmap(learnt))(jax.random.split(jax.random.key(0), 4))
    best = np.where(some, exact, -np.inf).max(-1)
    lost = (best - exact[np.arange(9), action])[:, :8]  # the last cell is the goal
    assert some[np.arange(9), action].all() and lost.max() < 0.3, lost
    if name == "q-learning":
        assert np.abs(params - exact)[:, :8][:, some[:8]].max() < 0.3
    if name == "dqn":
        layer = params["params"]["Dense_0"]
        table = np.asarray(layer["kernel"]) + np.asarray(layer["bias"])[:, None]
        assert np.abs(table - exact)[:, :8][:, some[:8]].max() < 0.3


@pytest.mark.thorough
def test_a_world_model_learns_what_is_allowed():
    """Dreamer's prediction of the mask, from which imagined actions are chosen, in four seeds."""
    setup = built("dreamer", model_learning_rate=1e-2, hidden=(32,))

    def losses(key):
        step = lambda run, _: setup.experiment.step(run)
        metrics = jax.lax.scan(step, setup.experiment.init(key), length=160)[1]
        (loss,) = [value for name, value in metrics.items() if "mask" in name]
        return loss

    found = np.asarray(jax.jit(jax.vmap(losses))(jax.random.split(jax.random.key(0), 4)))
    # A mean of 40 batches, which have a deviation of 0.1.
    assert found[:, -10:].mean() < 0.25 < found[:, 0].mean(), found
