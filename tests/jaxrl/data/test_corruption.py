"""Corrupted data: how much, by what, and where an attack ends, in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.data import attacked, corrupted
from jaxrl.data.corruption import PARTS
from jaxrl.errors import InputError
from tests.jaxrl.data.made import made

DATA = made(1, steps=400)
WEIGHTS = jnp.array([1.0, -2.0, 0.5])


@pytest.fixture(scope="module")
def found():
    def all_of(data, key, rate, scale):
        random = {part: corrupted(data, key, part, rate, scale) for part in PARTS}
        linear = lambda d: d.final["a"] @ WEIGHTS - 3 * d.final["b"]
        bowl = lambda d: jnp.square(d.action - 0.2).sum(-1) + jnp.sin(d.obs["b"])
        worse = {
            "dynamics": attacked(data, key, "dynamics", linear, rate, scale, 250),
            "actions": attacked(data, key, "actions", bowl, rate, scale, 1000),
            "rewards": attacked(data, key, "rewards", None, rate, scale),
        }
        return random, worse

    call = jax.jit(all_of)
    return [jax.device_get(call(DATA, jax.random.key(0), *x)) for x in ((0.3, 2.0), (1.0, 0.5))]


@pytest.mark.parametrize("part", PARTS)
def test_noise_has_its_rate_and_its_range_and_nothing_else_changes(found, part):
    field = PARTS[part]
    for (rate, scale), new in zip(((0.3, 2.0), (1.0, 0.5)), (x[0][part] for x in found)):
        leaves = [jax.tree.leaves(getattr(d, field)) for d in (new, DATA)]
        changed = None
        for x, old in zip(*leaves):
            noise = x if part == "rewards" else (x - old) / old.std((0, 1))
            rows = (x != old).reshape(*DATA.reward.shape, -1).any(-1)
            same = changed is None or (rows == changed).all()  # one choice for all leaves
            changed, wide = rows, 30 * scale if part == "rewards" else scale
            assert same
            u = noise[rows] / wide
            assert np.abs(u).max() < 1.0001
            # Uniform on [-1, 1]: mean 0 and variance 1/3, whose estimate has variance 4/45 n.
            n = u.size
            assert abs(u.mean()) < 5 / np.sqrt(3 * n)
            assert abs((u**2).mean() - 1 / 3) < 5 * np.sqrt(4 / 45 / n)
        n = changed.size
        assert abs(changed.mean() - rate) <= 5 * np.sqrt(rate * (1 - rate) / n)
        for name in set(DATA._fields) - {field}:
            jax.tree.map(np.testing.assert_array_equal, getattr(new, name), getattr(DATA, name))


def test_an_attack_ends_where_the_value_is_lowest(found):
    """A linear value has its minimum in a corner of the box, and a bowl where it is clipped."""
    for (rate, scale), (_, worse) in zip(((0.3, 2.0), (1.0, 0.5)), found):
        for name, weights in (("a", WEIGHTS), ("b", jnp.array(-3.0))):
            old, new = DATA.final[name], worse["dynamics"].final[name]
            corner = old - scale * old.std((0, 1)) * np.sign(weights)
            rows = (new != old).reshape(*DATA.reward.shape, -1).any(-1)
            np.testing.assert_allclose(new[rows], corner[rows], atol=1e-4)
            assert rows.all() if rate == 1 else 0.2 < rows.mean() < 0.4
        old, new = DATA.action, worse["actions"].action
        reach = scale * old.std((0, 1))
        rows = (new != old).any(-1)
        bottom = np.clip(0.2, old - reach, old + reach)
        np.testing.assert_allclose(new[rows], bottom[rows], atol=0.05)
        np.testing.assert_array_equal(worse["actions"].obs["b"], DATA.obs["b"])
        rows = worse["rewards"].reward != DATA.reward
        paid = -scale * DATA.reward
        np.testing.assert_allclose(worse["rewards"].reward[rows], paid[rows], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda k: corrupted(DATA, k, "reward"), "no part of a data set called 'reward': did you"),
        (lambda k: corrupted(DATA, k, "rewards", rate=1.1), "rate must lie between 0 and 1"),
        (lambda k: corrupted(DATA, k, "rewards", scale=-1), "scale must not be negative"),
        (lambda k: corrupted(made(actions=3), k, "actions"), "real numbers .* type int"),
        (lambda k: attacked(DATA, k, "dynamics"), "attack on dynamics needs a value"),
    ],
)
def test_what_does_not_fit_is_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call(jax.random.key(0))
