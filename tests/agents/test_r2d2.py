"""R2D2's targets by loops over single steps, and a task that only a memory can do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import r2d2
from jaxrl import advance, assemble, evaluate
from jaxrl.environments import auto_reset, vectorize
from jaxrl.networks import dueling, network
from jaxrl.rollouts import rollout
from tests.compiling import OPTIMISED

KEYS = jax.random.split(jax.random.key(0), 4)
PROCESS = dict(states=5, actions=2, end=0.1, seed=1, max_steps_in_episode=6)


def brute_force(net, hp, params, target, steps, mask):
    """The errors of the steps [T, 1, ...] of one lane that are learnt from."""

    @jax.jit
    def q(at, memory, obs):
        heads, after = net.step(at, memory, obs)
        return dueling(heads[0][..., None], heads[1])[0, :, 0], after

    step = lambda t: jax.tree.map(lambda x: x[t], steps)
    mask, blank = jax.jit(mask), jax.tree.map(np.asarray, net.memory(1))
    memory = {name: step(0).extras for name in ("online", "target")}
    now, best = [], []  # of each step, Q(S_t, A_t), and the target's Q of the successor's best
    for t in range(len(steps.reward)):
        one, successors = step(t), {}
        for name, at in (("online", params), ("target", target)):
            value, after = jax.device_get(q(at, memory[name], one.obs))
            if name == "online":
                now.append(value[int(one.action[0])])
            successors[name] = np.asarray(q(at, after, one.final)[0])
            memory[name] = blank if one.last[0] else after
        allowed = np.where(mask(one.final[0]), successors["online"], -np.inf)
        best.append(successors["target"][allowed.argmax()])
    now, best, errors = np.array(now), np.array(best), []
    for t in range(hp.burn_in, len(now)):
        total, weight = 0.0, 1.0
        for k in range(t, min(t + hp.n_step, len(now))):
            total += weight * float(steps.reward[k, 0])
            weight *= hp.discount * float(steps.discount[k, 0])
            if steps.last[k, 0]:
                break
        errors.append(abs(total + weight * best[k] - now[t]))
    return errors


@pytest.mark.parametrize("burn_in", [0, 3])
def test_targets_are_those_of_a_loop_over_single_steps(burn_in):
    """Over terminations and truncations, from memories stored in the middle of episodes.

    With a burn-in, also with an action that is forbidden in some states.
    """
    hp = r2d2.Hyperparameters(burn_in=burn_in, n_step=2, hidden=(8,), discount=0.9, memory="gru")
    env = auto_reset(vectorize(envs.make("garnet", **PROCESS), 3))
    mask = lambda obs: jnp.stack([obs[..., 0] + obs[..., 1] < 1, obs[..., 2] < 1], -1)
    mask = mask if burn_in else lambda obs: jnp.ones((*obs.shape[:-1], 2), bool)
    agent = r2d2.r2d2(env.spec._replace(mask=mask), hp, schedule=lambda update, hp: update)
    layers = hp.network
    net = network(
        env.spec, (2, 1), (1.0, 1.0), layers.hidden, layers.activation, "auto", layers.memory
    )

    @jax.jit
    def run(keys):
        params, target = net.init(keys[0]), net.init(keys[1])
        learner = agent.update.init(keys[0], None)._replace(params=params, target=target)
        start = (*env.init(keys[2]), agent.explore.init(3))
        _, data, _ = rollout(env, agent.explore, learner, start, keys[3], 36)
        data = jax.tree.map(lambda x: x[14:], data)
        return params, target, data, agent.update.apply(learner, data, keys[0])[1]

    params, target, data, metrics = run(KEYS)
    data = jax.tree.map(np.asarray, data)
    last, died = data.last[burn_in:], data.discount[burn_in:] == 0
    assert (last & died).any() and (last & ~died).any()
    assert np.abs(jax.tree.leaves(data.extras)[0][0]).max() > 0
    for lane in range(3):
        one = jax.tree.map(lambda x, lane=lane: x[:, lane : lane + 1], data)
        errors = brute_force(net, hp, params, target, one, mask)
        expected = hp.priority_peak * max(errors) + (1 - hp.priority_peak) * np.mean(errors)
        np.testing.assert_allclose(metrics["priority"][lane], expected, rtol=1e-4)


MEMORABLE = dict(
    window=8, hidden=(16,), epsilon_updates=150.0, num_envs=8, updates=2, buffer_size=2048,
    warmup=256, batch_size=16, sequence_length=8, learning_rate=2e-3,
)  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("memory", "burn_in"), [("none", 0), ("gru", 2), ("state-space", 0), ("transformer", 0)]
)
def test_a_memory_remembers_what_feed_forward_networks_cannot(memory, burn_in):
    """The action that pays is shown at the first of six steps; three seeds."""
    env = envs.make("MemoryChain-bsuite")
    hp = r2d2.Hyperparameters(memory=memory, burn_in=burn_in, **MEMORABLE)
    setup = assemble(r2d2.r2d2, env, hp)

    def run(key):
        run, _ = advance(setup.experiment, setup.experiment.init(key), 180)
        view = setup.agent.update.read(run.learner)
        return evaluate(setup.env, setup.agent.exploit, view, key, 64).returns.mean()

    scores = jax.jit(jax.vmap(run), compiler_options=OPTIMISED)(KEYS[:3])
    assert (scores < 0.5).all() if memory == "none" else (scores > 0.9).all()
