"""Recurrent SAC's targets by loops over single steps, and a pendulum whose velocity is hidden."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS, recurrent_sac, sac
from jaxrl import advance, assemble, evaluate, values
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.errors import InputError
from jaxrl.fields import takes
from jaxrl.networks import network
from jaxrl.rollouts import rollout
from jaxrl.settings import Layers
from tests.compiling import OPTIMISED

KEYS = jax.random.split(jax.random.key(0), 5)
HIDDEN = envs.mask_observation(envs.make("Pendulum-v1"), (2,))


def features(net, params, data):
    """Features [T, B, H] of each step and of its successor, by a loop that forgets by hand."""
    step, now, after = jax.jit(net.step), [], []
    memory, blank = jax.tree.map(lambda x: x[0], data.extras), net.memory(3)
    for t in range(len(data.reward)):
        (x,), memory = step(params, memory, data.obs[t])
        now.append(x)
        after.append(step(params, memory, data.final[t])[0][0])
        ended = np.flatnonzero(data.last[t])
        memory = jax.tree.map(lambda x, y, i=ended: x.at[i].set(y[i]), memory, blank)
    return np.stack(now), np.stack(after)


def critics(params, x, action):
    """The values [..., E] of an ensemble with one hidden layer, in numpy."""
    p = jax.tree.map(np.asarray, params["critics"]["params"])
    x = np.concatenate([x, action], -1)
    first, head = p["torso"]["Dense_0"], p["head"]
    hidden = np.maximum(np.einsum("...i,eij->...ej", x, first["kernel"]) + first["bias"], 0)
    return np.einsum("...ej,ejk->...ek", hidden, head["kernel"])[..., 0] + head["bias"][:, 0]


@pytest.mark.parametrize(("memory", "burn_in"), [("gru", 0), ("transformer", 3)])
def test_targets_are_those_of_a_loop_over_single_steps(memory, burn_in):
    """Over terminations and truncations, from memories stored in the middle of episodes."""
    hp = recurrent_sac.Hyperparameters(
        burn_in=burn_in, memory=memory, window=4, hidden=(8,), discount=0.9
    )
    env = auto_reset(vectorize(time_limit(HIDDEN, 5), 3))
    agent = recurrent_sac.recurrent_sac(env.spec, hp, schedule=lambda update, hp: update)

    def collected():
        learner = agent.update.init(KEYS[0], None)
        learner = learner._replace(target=agent.update.init(KEYS[1], None).params)
        start = (*env.init(KEYS[2]), agent.explore.init(3))
        data = rollout(env, agent.explore, learner, start, KEYS[3], 19)[1]
        data = jax.tree.map(lambda x: x[7:], data)
        data = data._replace(discount=1.0 - data.last.at[:, 1:].set(False))
        return learner, data, agent.update.apply(learner, data, KEYS[4])[1]

    learner, data, metrics = jax.jit(collected)()
    params, target = learner.params, learner.target
    last, died = data.last[burn_in:], data.discount[burn_in:] == 0
    assert (last & died).any() and (last & ~died).any()
    assert float(jnp.abs(jax.tree.leaves(data.extras)[0][0]).max()) > 0

    net = network(env.spec, (8,), (1.0,), **vars(hp.network))
    now, following = (x[burn_in:] for x in features(net, params["memory"], data))
    judged = features(net, target["memory"], data)[1][burn_in:]
    late = jax.tree.map(lambda x: x[burn_in:], data)
    seen = env.spec._replace(observation=jax.ShapeDtypeStruct((8,), jnp.float32))
    layers = sac.Hyperparameters(network=Layers((8,)))
    policy = sac.networks(seen, layers, values.scalar()).pi(params, following)
    k_next = jax.random.split(jax.random.split(KEYS[4])[0], 3)[0]  # as sac.objectives does
    action, log_prob = policy.sample_and_log_prob(seed=k_next)
    future = critics(target, judged, action).min(-1) - log_prob  # at an initial temperature of 1
    aim = late.reward + 0.9 * late.discount * future
    error = (critics(params, now, late.action) - np.asarray(aim)[..., None]) ** 2 / 2
    np.testing.assert_allclose(metrics["target_value"], aim.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["critic_loss"], error.sum(-1).mean(), rtol=1e-4)


def test_the_memory_learns_from_the_critics_and_not_from_the_actor():
    """With a discount of 0, which leaves no part to the actor in what the critics learn."""
    hp = recurrent_sac.Hyperparameters(hidden=(8,), sequence_length=4, burn_in=0, discount=0.0)
    env = auto_reset(vectorize(HIDDEN, 3))
    agent = recurrent_sac.recurrent_sac(env.spec, hp, schedule=lambda update, hp: update)

    def learnt():
        first, other = (agent.update.init(key, None) for key in KEYS[:2])
        start = (*env.init(KEYS[2]), agent.explore.init(3))
        data = rollout(env, agent.explore, first, start, KEYS[3], 4)[1]
        second = first._replace(params=first.params | {"actor": other.params["actor"]})
        after = [agent.update.apply(x, data, KEYS[4])[0].params for x in (first, second)]
        return first.params, *after

    before, one, two = jax.jit(learnt)()
    same = lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6)
    jax.tree.map(same, one["memory"], two["memory"])
    jax.tree.map(same, one["critics"], two["critics"])
    moved = jax.tree.map(lambda x, y: np.abs(x - y).max() > 0, before["memory"], one["memory"])
    assert all(jax.tree.leaves(moved["encoder"])) and all(jax.tree.leaves(moved["heads"]))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["sac", "recurrent-sac"])
def test_only_a_memory_swings_up_a_pendulum_whose_velocity_is_hidden(name):
    """The mean return of two seeds; that of a random policy is some -1200."""
    options = dict(
        hidden=(32, 32), num_envs=8, rollout_length=4, buffer_size=32_000, warmup=1_024,
        learning_rate=3e-3, discount=0.95, target_rate=0.02, updates=16, sequence_length=16,
        burn_in=0, batch_size=16 if name == "recurrent-sac" else 128,
    )  # fmt: skip
    entry = AGENTS[name]
    known = {k: v for k, v in options.items() if takes(entry.defaults, k)}
    setup = assemble(entry.make, HIDDEN, entry.defaults.replace(**known))

    def run(key):
        run, _ = advance(setup.experiment, setup.experiment.init(key), 250)
        view = setup.agent.update.read(run.learner)
        return evaluate(setup.env, setup.agent.exploit, view, key, 16).returns.mean()

    scores = jax.jit(jax.vmap(run), compiler_options=OPTIMISED)(KEYS[:2])
    assert scores.mean() > -1000 if name == "recurrent-sac" else scores.mean() < -1000


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (dict(actor_sees=(0,)), "^recurrent-sac's actor sees what the critics' memory holds"),
        (dict(warmup=40, num_envs=4), "^warmup 40 must be at least 80"),
        (dict(memory="transformer", hidden=(6,)), "^A transformer needs a size divisible by 4"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(InputError, match=sentence):
        assemble(recurrent_sac.recurrent_sac, HIDDEN, recurrent_sac.Hyperparameters(**options))
