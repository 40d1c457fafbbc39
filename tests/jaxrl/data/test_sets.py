"""Labels, neighbours, mixtures and measures of data sets, against brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import buffers
from jaxrl.data import (
    concatenated,
    coverage,
    distinct_pairs,
    labelled,
    nearest,
    quality,
    relabelled,
    require_same_spaces,
    sample_mixture,
    trajectory_quality,
)
from jaxrl.errors import InputError
from jaxrl.types import Box, Discrete, MultiDiscrete, Product, Spec
from tests.jaxrl.data.made import made

DATA = made(2)


def test_rewards_and_ends_are_those_of_another_task():
    far = lambda obs, action, final: final["a"][..., 0] > 1
    pay = lambda obs, action, final: final["b"] - 2 * obs["b"] + action[..., 0]
    new = jax.jit(lambda d: relabelled(d, pay, far))(DATA)
    wanted = DATA.final["b"] - 2 * DATA.obs["b"] + DATA.action[..., 0]
    np.testing.assert_allclose(new.reward, wanted, rtol=1e-5, atol=1e-6)
    over = DATA.final["a"][..., 0] > 1
    assert (over & ~DATA.last).any() and ((DATA.discount == 0) & ~over).any()
    np.testing.assert_array_equal(new.discount, np.where(over, 0, 1))
    np.testing.assert_array_equal(new.last, DATA.last | over)
    kept = relabelled(DATA, pay)
    assert kept.last is DATA.last and kept.discount is DATA.discount
    with pytest.raises(InputError, match=r"one number for each step, of shape \(41, 3\), but its"):
        relabelled(DATA, lambda obs, action, final: obs["a"])


def test_unknown_actions_are_those_of_the_inverse_model():
    known = DATA.reward > 0
    inverse = lambda obs, final: (final["a"] - obs["a"])[..., :2]
    new = labelled(DATA, inverse, known)
    wanted = np.where(known[..., None], DATA.action, (DATA.final["a"] - DATA.obs["a"])[..., :2])
    np.testing.assert_array_equal(new.action, wanted)
    np.testing.assert_array_equal(labelled(DATA, inverse).action[known], inverse(*(
        jax.tree.map(lambda x: x[known], s) for s in (DATA.obs, DATA.final))))  # fmt: skip
    with pytest.raises(InputError, match="actions of shape"):
        labelled(DATA, lambda obs, final: obs["a"])


@pytest.mark.parametrize("block", [7, 64, 1000])
def test_nearest_neighbours_are_those_of_all_pairs(block):
    rng = np.random.default_rng(0)
    points = rng.integers(0, 3, (150, 4)).astype(np.float32)  # small integers: many exact ties
    queries = rng.integers(0, 3, (20, 4)).astype(np.float32)
    away = ((queries[:, None] - points) ** 2).sum(-1)
    order = np.argsort(away, 1, kind="stable")[:, :5]
    index, distance = jax.jit(lambda p, q: nearest(p, q, 5, block))(points, queries)
    np.testing.assert_array_equal(index, order)
    np.testing.assert_array_equal(distance, np.take_along_axis(away, order, 1))
    # Points that are close to each other and far from the origin: |x|^2 - 2xy + |y|^2 would be 0.
    line = 1e4 + np.arange(100, dtype=np.float32)[:, None] / 64
    index, distance = nearest(line, line[::-1] + 1 / 256, block=block)
    np.testing.assert_array_equal(index[:, 0], np.arange(100)[::-1])
    assert (distance > 0).all()


def test_nearest_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="vectors of one length"):
        nearest(jnp.ones((3, 2)), jnp.ones((3, 1)))
    with pytest.raises(InputError, match="3 points, which is fewer than the 4"):
        nearest(jnp.ones((3, 2)), jnp.ones((3, 2)), 4)


def test_data_sets_are_put_one_after_another_with_a_boundary_between():
    sets = [made(i, steps=10 * (i + 1)) for i in range(3)]
    both = concatenated(sets, [0.5, 0.25, 0.25])
    assert both.reward.shape == (60, 3)
    assert both.last[np.array([9, 29, 59])].all() and not sets[0].last[9].all()
    np.testing.assert_array_equal(both.obs["a"][10:30], sets[1].obs["a"])
    shares = [float(x.sum() / both.weight.sum()) for x in np.split(both.weight, [10, 30])]
    np.testing.assert_allclose(shares, [0.5, 0.25, 0.25], rtol=1e-6)
    np.testing.assert_allclose(both.weight.mean(), 1, rtol=1e-6)
    assert (concatenated(sets).weight == 1).all()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: concatenated([]), "no data set"),
        (lambda: concatenated([DATA, made(lanes=2)]), r"set 2 the array obs\['a'\] .*\(2, 3\)"),
        (lambda: concatenated([DATA, DATA._replace(obs=DATA.obs["a"])]), "set 2 has arrays obs, "),
        (lambda: concatenated([DATA, DATA], [1.0]), "one share for each of 2 data sets"),
        (lambda: concatenated([DATA, DATA], [1.0, 0.0]), "shares must be positive"),
        (lambda: coverage(DATA, made(actions=3)), "of one environment"),
    ],
)
def test_sets_that_do_not_fit_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


def test_samples_have_the_shares_in_each_part_of_a_batch():
    """Plain concatenation would give a minibatch of one data set alone."""
    fill = lambda value: {"x": jnp.full((16, 2), value)}
    stored = [buffers.init(fill(value), 16) for value in (0.0, 1.0)]
    batch = jax.jit(lambda key: sample_mixture(stored, (0.25, 0.75), key, 64, 2))(jax.random.key(0))
    assert batch["x"].shape == (2, 64)
    np.testing.assert_array_equal(batch["x"].reshape(2, 8, 8).sum(-1), np.full((2, 8), 6.0))
    with pytest.raises(InputError, match="batch of 2 is too small"):
        sample_mixture(stored, (0.01, 0.99), jax.random.key(0), 2)


VECTOR = jax.ShapeDtypeStruct((3,), jnp.float32)
SPEC = Spec(VECTOR, Box(-jnp.ones(2), jnp.ones(2)))


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (Spec({"a": VECTOR}, SPEC.action), r"^A has observations one array, but B has \['a'\].$"),
        (Spec(jax.ShapeDtypeStruct((4,), jnp.float32), SPEC.action), r"shape \(3,\), .* \(4,\)"),
        (Spec(jax.ShapeDtypeStruct((3,), jnp.uint8), SPEC.action), "type float32, .* uint8"),
        (Spec(VECTOR, Discrete(2)), "kind Box, but B has Discrete"),
        (Spec(VECTOR, Box(-jnp.ones(1), jnp.ones(1))), r"actions of shape \(2,\), but B has \(1,"),
        (Spec(VECTOR, Box(-jnp.ones(2), 2 * jnp.ones(2))), r"not above \[1.0, 1.0\], but .*2.0"),
    ],
)
def test_spaces_are_compared_in_all_that_they_say(other, sentence):
    require_same_spaces(SPEC, SPEC, ("A", "B"))
    with pytest.raises(InputError, match=sentence):
        require_same_spaces(SPEC, other, ("A", "B"))


def test_spaces_of_several_actions_are_compared_part_by_part():
    whole = lambda *parts: Spec(VECTOR, Product(parts))
    same = whole(Discrete(2), MultiDiscrete((2, 3)))
    require_same_spaces(same, same, ("A", "B"))
    for other in (whole(Discrete(2), MultiDiscrete((3, 2))), whole(Discrete(2))):
        with pytest.raises(InputError, match=r"actions (numbering|with parts)"):
            require_same_spaces(same, other, ("A", "B"))


def test_pairs_are_counted_where_hashes_collide(monkeypatch):
    """As few as three different hashes leave the count exact."""
    few = lambda rows: (rows[:, -1] % 3, 0 * rows[:, 0])
    data = made(3, steps=40, actions=2)
    coarse = {name: np.round(x / 2) + 0.0 for name, x in data.obs.items()}
    data = data._replace(obs=coarse, weight=(data.reward > 0).astype(np.float32))
    rows = [coarse["a"], coarse["b"][..., None], data.action[..., None]]
    wanted = len({tuple(x) for x in np.concatenate(rows, -1)[data.weight != 0].tolist()})
    assert 20 < wanted < data.weight.sum() and int(distinct_pairs(data)) == wanted
    monkeypatch.setattr(quality, "hashes", few)
    assert int(distinct_pairs(data)) == wanted


def test_pairs_are_counted_as_in_a_set():
    rng = np.random.default_rng(0)
    data = made(3, steps=300, actions=2)
    coarse = {name: np.round(x) * 0.5 for name, x in data.obs.items()}  # -0 and 0 are there
    weight = (rng.random(data.reward.shape) < 0.7).astype(np.float32)
    data = data._replace(obs=coarse, weight=weight)
    rows = lambda d: np.concatenate(
        [d.obs["a"], d.obs["b"][..., None], d.action[..., None]], -1)[d.weight != 0]  # fmt: skip
    wanted = len({tuple(row + 0.0) for row in rows(data)})
    assert 100 < wanted < weight.sum() - 100
    assert int(jax.jit(distinct_pairs)(data)) == wanted
    # Bins are those of the reference, so that two data sets are measured by one rule.
    other = made(4, steps=100, actions=2)
    bins = 5
    low, high = (getattr(rows(other), f)(0) for f in ("min", "max"))

    def binned(d):
        x = rows(d)[:, :-1]
        place = np.floor((x - low[:-1]) / ((high - low)[:-1] / bins))
        place = np.where(x <= high[:-1], np.minimum(place, bins - 1), place)
        return {tuple(row) for row in np.column_stack([place, rows(d)[:, -1]])}

    share = len(binned(data)) / len(binned(other))
    found = jax.jit(lambda a, b: coverage(a, b, bins))(data, other)
    np.testing.assert_allclose(found, share, rtol=1e-6)


def test_measures_of_known_data_are_their_closed_forms():
    returns = jnp.array([0.0, 4.0, 100.0])
    with pytest.raises(InputError, match="highest - lowest must be above zero, but it is 0"):
        trajectory_quality(returns, 1.0, 1.0)
    assert trajectory_quality(returns, -1.0, 3.0, jnp.array([True, True, False])) == 0.75
    constant = DATA._replace(
        obs=jax.tree.map(jnp.zeros_like, DATA.obs), action=jnp.zeros_like(DATA.action)
    )
    assert distinct_pairs(constant) == 1 == distinct_pairs(constant, 10)
    assert coverage(DATA, DATA) == 1 and coverage(constant, DATA) == 1 / DATA.reward.size
