"""ResFiT: critics of whole actions, and edits that go as far as they may."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS, resfit
from jaxrl import advance
from jaxrl.conditioned import Conditioned
from jaxrl.errors import InputError
from jaxrl.networks import critic_ensemble
from jaxrl.offline import offline
from jaxrl.steering import Frozen, edits
from jaxrl.types import Box, Spec, memoryless
from jaxrl.values import Ensemble
from tests.agents.cases import IDLE
from tests.agents.offline.logs import compiled, one_step, spec_of

KEYS = jax.random.split(jax.random.key(0), 4)
SIZE, BEST = 0.3, 0.5


def test_edits_end_at_the_best_action_within_reach_and_critics_judge_the_whole():
    """The reward is -(a - 0.5)^2 in two states, where the policy proposes -0.2 and 0.4.

    So the best edits are 0.3, which is the largest, and 0.1. Critics learn the reward of all
    actions of the data, most of which no edit reaches; with the clipped edit in place of the
    action they would be wrong there.
    """
    rng, spec = np.random.default_rng(0), spec_of(2, -1)
    state, action = rng.integers(2, size=400), rng.uniform(-1, 1, (400, 1)).astype(np.float32)
    data = one_step(state, action, -np.square(action[:, 0] - BEST), spec)
    proposed = jnp.array([-0.2, 0.4])
    base = lambda obs, key: (obs @ proposed)[..., None]
    seen = edits(data, base, SIZE, KEYS[0])
    hp = resfit.Hyperparameters(
        edit_size=SIZE, num_envs=1, buffer_size=400, warmup=400, batch_size=64, hidden=(32,),
        learning_rate=5e-3, ensemble=Ensemble(2), n_step=1, actor_period=1, target_noise=0.0,
        data_share=0.0,
    )  # fmt: skip
    context = jax.ShapeDtypeStruct((1,), jnp.float32)
    own = spec._replace(observation=Conditioned(spec.observation, context))
    agent = resfit.resfit(own, hp)
    critics = critic_ensemble(spec, 1, 2, hp.network)
    at = np.linspace(-0.95, 0.95, 20, dtype=np.float32)

    def train(key):
        exp = offline(agent, seen)
        view = agent.update.read(advance(exp, exp.init(key), 800)[0].learner)
        obs = Conditioned(jnp.eye(2), proposed[:, None])
        edit = agent.exploit.step(view, (), obs, key)[0]
        q = critics.apply(view.params["critics"], jnp.tile(jnp.eye(2)[:1], (20, 1)), at[:, None])
        return proposed + SIZE * edit[:, 0], q.mean(-1)

    whole, value = map(np.asarray, compiled(train)(KEYS))
    np.testing.assert_allclose(whole, np.broadcast_to([0.1, BEST], whole.shape), atol=0.15)
    np.testing.assert_allclose(whole.mean(0), [0.1, BEST], atol=0.08)
    assert np.abs(value + np.square(at - BEST)).mean() < 0.06


def test_it_acts_in_the_environment_itself_as_in_the_one_it_learns_in():
    entry, env = AGENTS["resfit"], envs.make("Pendulum-v1")
    policy = Frozen(lambda obs, key: 0.95 + 0 * obs[..., :1])
    found = entry._replace(**entry.beside(policy))
    hp = entry.defaults.replace(hidden=(4,))
    spec = found.world(env, hp).spec
    assert spec.observation.context.shape == (1,) and spec.action.high == 1
    same = memoryless(lambda view, obs, key: (view + 0 * obs.context, ()))  # edits as the view says
    obs = jnp.ones((5, 3))
    for edit, wanted in ((0.25, 0.975), (1.0, 1.0), (-1.0, 0.85)):
        action, _, _ = found.acting(same, hp).step(jnp.float32(edit), (), obs, KEYS[0])
        np.testing.assert_allclose(action, np.full((5, 1), wanted), rtol=1e-6)


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match="resfit needs an environment in which a trained policy"):
        resfit.resfit(spec_of(2, -1), resfit.Hyperparameters())
    with pytest.raises(InputError, match="resfit needs continuous actions"):
        resfit.beside(IDLE)["world"](envs.make("chain"), resfit.Hyperparameters())
    one = jnp.ones(1)
    spec = Spec(Conditioned(spec_of(2, -1).observation, spec_of(1, -1).observation), Box(-one, one))
    with pytest.raises(InputError, match="resfit standardises nothing"):
        resfit.resfit(spec, resfit.Hyperparameters(normalise_observations=True))
    with pytest.raises(InputError, match="dsrl steers a policy that makes its actions of noise"):
        AGENTS["dsrl"].beside(Frozen(IDLE.act))
    hil = AGENTS["hil-serl"]
    with pytest.raises(InputError, match="learns beside its corrector, without data"):
        hil.beside(IDLE)["told"](None, hil.defaults)
