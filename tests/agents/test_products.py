"""Agents whose actions are several at once, on tasks whose best return is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from jaxrl import advance, assemble, evaluate, policy
from jaxrl.environments import scale_actions, time_limit
from jaxrl.errors import InputError
from jaxrl.fields import takes
from jaxrl.types import Box, Discrete, Env, MultiDiscrete, Product, Spec, TimeStep

NUMS = (3, 2, 5)
STATES, STEPS = 4, 6
WANTED = np.array([[0, 1, 4], [2, 0, 0], [1, 1, 2], [2, 1, 3]])  # [S, parts]
LEVELS = np.array([-1.5, 0.0, 2.0, 3.5], np.float32)
MIXED = Product((Discrete(3), Box(jnp.full(1, -2.0), jnp.full(1, 4.0))))
UPDATES = 200  # of PPO


def task(action, pay, mask=None):
    """Random states, in each of which `pay(state, action)` is at most 1."""

    def emit(state, reward):
        obs, no = jax.nn.one_hot(state, STATES), jnp.zeros((), bool)
        return state, TimeStep(obs, jnp.float32(reward), jnp.float32(1), no, obs, {})

    draw = lambda key: jax.random.randint(key, (), 0, STATES)
    spec = Spec(jax.ShapeDtypeStruct((STATES,), jnp.float32), action, mask)
    env = Env(
        lambda key: emit(draw(key), 0.0),
        lambda state, a, key: emit(draw(key), pay(state, a)),
        spec,
    )
    return time_limit(env, STEPS)


def several(mask=None):
    """A third for each entry that is the wanted one."""
    pay = lambda s, a: (a == jnp.asarray(WANTED)[s]).mean()
    return task(MultiDiscrete(NUMS), pay, mask)


def mixed(mask=None):
    """1 for the wanted kind at the wanted level, less by the distance from the level."""

    def pay(s, a):
        kind, level = a
        near = jnp.maximum(1 - jnp.abs(level[0] - jnp.asarray(LEVELS)[s]) / 3, 0.0)
        return (kind == jnp.asarray(WANTED)[s, 0]) * near

    return task(MIXED, pay, mask)


def no_wanted_first(obs):
    """All but the wanted action of the first part."""
    state = obs.argmax(-1)
    table = np.arange(5) != np.array(WANTED)[..., None]
    table[:, 1:] = True
    return jnp.asarray(table)[state]


def no_wanted_kind(obs):
    return jnp.asarray(np.arange(3) != WANTED[:, :1])[obs.argmax(-1)], None


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("make", "best"),
    [
        (several, 1.0), (mixed, 1.0),
        (lambda: several(no_wanted_first), 2 / 3), (lambda: mixed(no_wanted_kind), 0.0),
    ],
    ids=["multi-discrete", "mixed", "masked", "mixed-masked"],
)  # fmt: skip
def test_ppo_reaches_the_best_return(make, best):
    """In all of four seeds; masked, it is that of the best action that is allowed."""
    env = make()
    envs.check(env, steps=20)
    options = dict(
        num_envs=32, rollout_length=8, learning_rate=1e-2, decay=1.0, discount=0.5, hidden=(32,)
    )
    hp = AGENTS["ppo"].defaults.replace(**options)
    setup = assemble(AGENTS["ppo"].make, env, hp, UPDATES * 32 * 8)

    def score(key):
        k_run, k_evaluate = jax.random.split(key)
        run, metrics = advance(setup.experiment, setup.experiment.init(k_run), UPDATES)
        view = setup.agent.update.read(run.learner)
        found = evaluate(setup.env, setup.agent.exploit, view, k_evaluate, 32, STEPS)
        return found.returns.mean() / STEPS, metrics["episode_return"] / STEPS

    greedy, sampled = jax.jit(jax.vmap(score))(jax.random.split(jax.random.key(0), 4))
    # One wrong kind in one of the four states costs a quarter, or a twelfth of three parts.
    assert np.abs(np.asarray(greedy) - best).max() < (0.15 if make is mixed else 0.08)
    assert best > 0 or float(np.abs(sampled).max()) == 0.0  # nothing forbidden is ever paid for


@pytest.mark.parametrize("name", ["ppo", "dreamer"])
@pytest.mark.parametrize("make", [several, mixed])
def test_who_takes_products_can_be_trained_and_exported(name, make):
    """One update traces, and the policy that is written acts in the units of the environment."""
    entry, env = AGENTS[name], make()
    small = dict(
        num_envs=4, rollout_length=4, hidden=(8,), size=8, groups=2, classes=2, horizon=2,
        batch_size=4, buffer_size=64, warmup=32, updates=1, minibatches=2, epochs=1,
        sequence_length=1 if name == "ppo" else 4,
    )  # fmt: skip
    hp = entry.defaults.replace(**{k: v for k, v in small.items() if takes(entry.defaults, k)})
    setup = assemble(entry.make, env, hp)
    begin = lambda key: setup.experiment.step(setup.experiment.init(key))[0]
    if name == "dreamer":  # which has a memory, and compiles for long
        jax.eval_shape(begin, jax.random.key(0))
        return
    view = setup.agent.update.read(jax.jit(begin)(jax.random.key(0)).learner)
    actor = setup.agent.exploit
    content = policy.serialise(actor, view, setup.env.spec, env.spec.action, ("cpu",))
    acts, obs = policy.deserialise(content), jnp.eye(STATES)
    action = acts(obs)
    wanted, _, _ = actor.step(view, (), obs, jax.random.key(0))
    if make is several:
        np.testing.assert_array_equal(action, wanted)
        np.testing.assert_array_equal(acts(obs[1]), wanted[1])
    else:
        np.testing.assert_array_equal(action[0], wanted[0])
        level = -2 + 6 * (np.clip(wanted[1], -1, 1) + 1) / 2
        np.testing.assert_allclose(action[1], level, atol=1e-5)


@pytest.mark.parametrize("name", ["dqn", "pqn", "r2d2", "sac", "td3", "alphazero", "q-learning"])
def test_who_does_not_says_who_does(name):
    entry = AGENTS[name]
    for env in (several(), mixed()):
        with pytest.raises(InputError, match="several at once: try ppo") as refused:
            seen = entry.world(env, entry.defaults)
            assemble(entry.maker(seen), seen, entry.defaults)
        assert "\n" not in str(refused.value)


def test_only_the_continuous_part_is_scaled():
    env, (state, _) = scale_actions(mixed()), mixed().init(jax.random.key(0))
    wanted = WANTED[int(state[0] if isinstance(state, tuple) else state), 0]
    assert env.spec.action.parts[0] == Discrete(3)
    level = LEVELS[int(state[0] if isinstance(state, tuple) else state)]
    act = (jnp.int32(wanted), jnp.array([(level + 2) / 3 - 1]))
    assert abs(float(env.step(state, act, jax.random.key(1))[1].reward) - 1) < 1e-5


FAULTS = {
    "spec.action.nums must be a tuple": (MultiDiscrete((2, 0)), None),
    "spec.action.nums must be a tuple of one": (MultiDiscrete(()), None),
    "spec.action.parts must be a tuple of one": (Product(()), None),
    r"spec.action.parts\[1\].num must be an int": (Product((Discrete(2), Discrete(0))), None),
    r"spec.action.parts\[0\] must be a jaxrl.types": (Product((2,)), None),
    "but spec.action has none": (Product((MIXED.parts[1],)), lambda obs: (None,)),
    r"must return \(bool\[3, 5\]\)|must return bool\[3, 5\]": (
        MultiDiscrete(NUMS), lambda obs: obs[..., :3] > 0
    ),
    "None for a continuous one": (MIXED, lambda obs: obs[..., :3] > 0),
}  # fmt: skip


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_wrong_product_is_told_in_one_sentence(sentence):
    action, mask = FAULTS[sentence]
    with pytest.raises(InputError, match=sentence):
        envs.check(task(action, lambda s, a: 0.0, mask), steps=5)


def test_a_mask_that_allows_nothing_in_one_part_is_found():
    none = lambda obs: jnp.ones((*obs.shape[:-1], 3, 5), bool).at[..., 1, :2].set(False)
    with pytest.raises(InputError, match="must allow at least one action"):
        envs.check(several(none), steps=5)
