"""DoC: its objective by loops in numpy, whose gradients go where, and a bandit of lucky winners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from agents.offline import doc
from jaxrl.errors import InputError
from jaxrl.types import Discrete, Spec, Transition
from tests.agents.offline.logs import compiled, learner, one_step, spec_of

ENTRY = AGENTS["doc"]
SPEC = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Discrete(2))
HP = ENTRY.defaults.replace(
    latents=4, sequence_length=3, negatives=2, return_scale=2.0, hidden=(5,), constraint=1.0
)


def window(seed=0, length=3, lanes=4):
    """Steps [L, B]; the second lane's episode ends with its first step, and a third is unknown."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: jnp.asarray(rng.normal(size=(length, lanes, *shape)), jnp.float32)
    last = np.zeros((length, lanes), bool)
    last[0, 1] = True
    action = jnp.asarray(rng.integers(2, size=(length, lanes)), jnp.int32)
    known = normal().at[:, 2].set(-jnp.inf)
    one = jnp.ones((length, lanes))
    return Transition(normal(3), action, normal(), one, jnp.asarray(last), normal(3), known, one)


@pytest.fixture(scope="module")
def parts():
    net = doc.latents(SPEC, HP)
    params, steps = net.init(jax.random.key(0)), window()

    @jax.jit
    def found(params):
        one = lambda params: doc.objective(net, HP, params, steps, jax.random.key(1))
        grads = {}
        for name in ("policy_loss", "value_loss", "prior_loss", "information"):
            grads[name] = jax.grad(lambda params, name=name: one(params)[1][name])(params)
        loss, metrics = one(params)
        whole = jax.grad(lambda params: one(params)[0])(params)
        return loss, metrics, grads, whole

    return net, params, steps, *found(params)


def test_the_terms_are_expectations_over_latents_within_the_first_episode(parts):
    net, params, steps, _, metrics, *_ = parts
    logits = np.asarray(net.posterior(params, steps))
    policy = np.asarray(jax.nn.log_softmax(net.policy(params, steps.obs).logits))  # [L, B, K, A]
    value, prior = (np.asarray(f(params, steps.obs[0])) for f in (net.value, net.prior))
    prior = prior - np.log(np.exp(prior).sum(-1, keepdims=True))
    cloned, worth, follows, count, firsts = 0.0, 0.0, 0.0, 0, 0
    for lane in (0, 1, 3):  # the return of lane 2 is not known
        ends = 1 if lane == 1 else 3
        q = np.exp(logits[ends - 1, lane])
        q = q / q.sum()
        for t in range(ends):
            cloned -= q @ policy[t, lane, :, int(steps.action[t, lane])]
            count += 1
        worth += q @ (0.5 * (value[lane] - float(steps.extras[0, lane]) / 2) ** 2)
        follows -= q @ prior[lane]
        firsts += 1
    np.testing.assert_allclose(metrics["policy_loss"], cloned / count, rtol=1e-4)
    np.testing.assert_allclose(metrics["value_loss"], worth / firsts, rtol=1e-4)
    np.testing.assert_allclose(metrics["prior_loss"], follows / firsts, rtol=1e-4)


def test_values_and_priors_leave_latents_alone_and_the_constraint_is_a_game(parts):
    """Encoder and energy see opposite gradients of the same number, each with the other fixed."""
    _, _, _, loss, metrics, grads, whole = parts
    moved = lambda tree: any(bool(jnp.any(x != 0)) for x in jax.tree.leaves(tree))
    for name in ("value_loss", "prior_loss"):
        assert not moved(grads[name]["reader"]) and moved(grads[name]["seer"])
    assert moved(grads["policy_loss"]["reader"])
    # The reported information is what the encoder sees: the energy is fixed in it.
    assert moved(grads["information"]["reader"]) and not moved(grads["information"]["judge"])
    assert moved(whole["judge"])
    # With the same weight the two sides of the game cancel in the number itself.
    total = sum(metrics[name] for name in ("policy_loss", "value_loss", "prior_loss"))
    np.testing.assert_allclose(loss, total, rtol=1e-4)


def test_an_encoder_that_tells_luck_has_information_to_lose():
    """The best energy of a latent that is the reward itself is its entropy given state and action.

    Of a fair coin it is log 2, and nothing where the latent is the action. The energy alone learns.
    """
    rng = np.random.default_rng(1)
    size, number = 512, 2
    action, reward = rng.integers(2, size=(2, 1, size))
    obs, one = jnp.zeros((1, size, 3)), jnp.ones((1, size))
    steps = Transition(
        obs, jnp.asarray(action, jnp.int32), jnp.asarray(reward, jnp.float32), 0 * one, one > 0,
        obs, one, one,
    )  # fmt: skip
    hp = HP.replace(latents=number, sequence_length=1, negatives=64)
    bits = {"luck": reward, "skill": action}

    def information(told, key):
        sure = lambda params, steps: 40.0 * jax.nn.one_hot(told, number)
        net = doc.latents(SPEC, hp)._replace(posterior=sure)

        def step(params, key):
            of = lambda p: doc.objective(net, hp, p, steps, key)
            gradient, metrics = jax.grad(of, has_aux=True)(params)
            return jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient), metrics["information"]

        k_init, k_learn = jax.random.split(key)
        return jax.lax.scan(step, net.init(k_init), jax.random.split(k_learn, 400))[1][-20:].mean()

    told = jnp.stack([jnp.asarray(bits[name]) for name in ("luck", "skill")])
    luck, skill = compiled(information)(told, jax.random.split(jax.random.key(0), 2))
    assert luck == pytest.approx(np.log(2), abs=0.1)
    assert skill == pytest.approx(0.0, abs=0.06)


def test_lucky_winners_do_not_mislead_it():
    """A tenth of the data is of the better arm: of all winners, a half are of the other one."""
    size = 1000
    arm = (np.arange(size) >= 100).astype(int)
    reward = np.zeros(size)
    reward[:90] = reward[100:190] = 1.0
    data, spec = one_step(0 * arm, arm, reward, spec_of(1, 2)), spec_of(1, 2)
    options = dict(latents=4, sequence_length=1, batch_size=128, hidden=(16,), learning_rate=3e-3)
    _, learn = learner("doc", spec, data, **options)
    hp = ENTRY.defaults.replace(**options)
    net = doc.latents(spec, hp)

    def train(key):
        view, _ = learn(key, 800)
        latent = doc.best(net, hp.rarest, view.params, jnp.ones(1))
        policies = jax.nn.softmax(net.policy(view.params, jnp.ones(1)).logits)
        return policies[latent, 0], net.value(view.params, jnp.ones(1))[latent]

    good, value = compiled(train)(jax.random.split(jax.random.key(0), 4))
    assert (good > 0.8).all()
    # Its value is consistent with what it earns, and not that of winners.
    np.testing.assert_allclose(value.mean(), 0.1 + 0.8 * good.mean(), atol=0.1)


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(InputError, match="at least 2 latents"):
        ENTRY.make(SPEC, ENTRY.defaults.replace(latents=1))
    with pytest.raises(InputError, match="There is no policy"):
        ENTRY.make(SPEC, ENTRY.defaults.replace(policy="square"))
