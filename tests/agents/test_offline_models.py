"""Agents that learn in models of data sets: their penalties by hand, and what they learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS, combo, sac
from agents.offline import edac
from jaxrl import advance, assemble, evaluate
from jaxrl.environments import auto_reset, scale_actions, vectorize
from jaxrl.offline import offline
from jaxrl.rollouts import random_policy, rollout
from jaxrl.types import Transition
from tests.agents.test_model_based import KEYS, best_return, point
from tests.compiling import OPTIMISED


def batch_of(obs, action):
    one = jnp.ones(obs.shape[0])
    return Transition(obs, action, one, one, one < 0, obs, (), one)


def test_combo_adds_the_gap_between_imagined_and_real_values():
    rng = np.random.default_rng(0)
    table = jnp.asarray(rng.normal(size=(10, 3)), jnp.float32)  # of ten pairs and three critics
    judge = sac.Judgement(lambda *_: jnp.zeros(10), lambda params, obs, action: table, None)
    found = combo.conservative(0.5, 4, judge, None, batch_of(table, table[:, :1]), KEYS[0])
    gap = np.asarray(table[4:]).mean(0) - np.asarray(table[:4]).mean(0)
    assert found.mean() == pytest.approx(0.5 * gap.sum(), abs=1e-5)


def test_ravl_adds_the_mean_cosine_of_the_critics_gradients():
    """Of critics that are linear in the action, the gradients are their coefficients."""
    rng = np.random.default_rng(1)
    slopes = rng.normal(size=(3, 2))
    each = lambda params, obs, action: action @ jnp.asarray(slopes, jnp.float32).T
    judge = sac.Judgement(lambda *_: jnp.zeros(5), each, None)
    found = edac.alike(2.0, judge, None, batch_of(jnp.ones((5, 1)), jnp.ones((5, 2))), KEYS[0])
    unit = slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(3) for j in range(3) if i != j]
    np.testing.assert_allclose(found, 2 * sum(pairs) / 2, rtol=1e-4)


def test_combo_is_robust_as_well_if_asked(monkeypatch):
    """Of values that are linear with slopes of one, the worst place nearby is in a corner."""

    class Told(Exception):
        pass

    def learner(spec, hp, penalty):
        raise Told(penalty)

    monkeypatch.setattr(sac, "learner", learner)
    hp = AGENTS["combo"].defaults.replace(
        ascent_steps=3, radius=0.1, robustness=2.0, conservatism=0.5, batch_size=8
    )
    with pytest.raises(Told) as told:
        combo.combo(envs.make("Pendulum-v1").spec, hp)
    table = jax.random.normal(KEYS[0], (8, 2))
    judge = sac.Judgement(lambda params, obs: obs.sum(-1), lambda params, obs, action: table, None)
    batch = batch_of(jnp.ones((8, 3)), table)
    found = told.value.args[0](judge, None, batch, KEYS[1])
    alone = combo.conservative(0.5, 4, judge, None, batch, KEYS[1])
    np.testing.assert_allclose(found - alone, 2.0 * (3 * 0.1) ** 2, rtol=1e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["combo", "morec", "ravl"])
def test_a_data_set_of_random_actions_is_enough_to_be_near_the_best(name):
    entry, env = AGENTS[name], scale_actions(point())
    small = dict(
        batch_size=64, buffer_size=1024, hidden=(32, 32), members=2, elites=2, horizon=2,
        model_hidden=(32, 32), model_learning_rate=3e-3, dreams=20, initial_temperature=0.1,
    )  # fmt: skip
    hp = entry.defaults.replace(**small)
    if name == "ravl":
        hp = hp.replace(ensemble=hp.ensemble.replace(members=4))
    agent = assemble(entry.make, env, hp).agent
    lanes = auto_reset(vectorize(env, 1))
    start = (*lanes.init(KEYS[0]), ())
    data = rollout(lanes, random_policy(env.spec, agent), None, start, KEYS[1], 1000)[1]
    data = data._replace(extras=())
    learning = offline(agent, data)

    def train(key):
        run, _ = advance(learning, learning.init(key), 200)
        view = agent.update.read(run.learner)
        return evaluate(env, agent.exploit, view, jax.random.key(1), 16).returns.mean()

    found = np.asarray(
        jax.jit(jax.vmap(train), compiler_options=OPTIMISED)(KEYS[:5])
    ) - best_return(16, jax.random.key(1))
    assert np.median(found) > -4, found


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("combo", dict(real_share=0.0), "real_share 0.0 leaves one out"),
        ("ravl", dict(ensemble=AGENTS["ravl"].defaults.ensemble.replace(members=1)), "at least 2"),
        ("morec", dict(jury_learning_rate=0.0), "jury_learning_rate must be above zero"),
        ("morec", dict(choice="best"), "There is no choice called 'best'"),
    ],
)
def test_bad_input_is_one_sentence(name, options, words):
    entry = AGENTS[name]
    with pytest.raises(ValueError, match=words):
        assemble(entry.make, envs.make("Pendulum-v1"), entry.defaults.replace(**options))
