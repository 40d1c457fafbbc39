"""Search with nodes of chance, with exact backups and among sampled actions, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import dp, search, values
from jaxrl.models import Model, chance
from jaxrl.search import sampled
from jaxrl.types import Box, Spec, TimeStep

KEY = jax.random.key(0)
TOP, GAMMA, LEVEL = 9, 0.9, 0.5
START = np.arange(TOP, dtype=np.int32)  # every total of the dice game
HOLD, ROLL = 0, 1


def dice():
    """A game of one's luck: hold a total and end, or roll a die of 0, 2 or 3 that is added to it.

    A 0 loses all. A total of `TOP` or more is paid as `TOP`, and then or after holding it ends.
    Holding has outcomes of probability zero, and states from TOP on do not matter.
    """
    p, r, d = np.zeros((TOP + 1, 2, 3)), np.zeros((TOP + 1, 2, 3)), np.zeros((TOP + 1, 2, 3))
    successors = np.full((TOP + 1, 2, 3), TOP)
    p[:, HOLD, 0] = 1
    r[:, HOLD] = np.arange(TOP + 1)[:, None]
    p[:, ROLL] = 1 / 3
    for total in range(TOP):
        for slot, eyes in enumerate((2, 3), 1):
            if total + eyes >= TOP:
                r[total, ROLL, slot] = TOP
            else:
                d[total, ROLL, slot], successors[total, ROLL, slot] = 1, total + eyes
    return dp.from_arrays(p, r, d, np.eye(TOP + 1)[0], successors)


def lowest(outcomes):
    """The mean of the lowest `LEVEL` of equally likely numbers."""
    left, total = LEVEL, 0.0
    for x in np.sort(outcomes):
        weight = min(left, 1 / len(outcomes))
        total, left = total + weight * x, left - weight
    return total / LEVEL


def by_hand(judge, gamma):
    """Action values [TOP, 2] of the dice game, where `judge` sums up equally likely outcomes."""
    q = np.zeros((TOP, 2))
    q[:, HOLD] = np.arange(TOP)
    for total in reversed(range(TOP)):
        after = [TOP if total + x >= TOP else gamma * q[total + x].max() for x in (2, 3)]
        q[total, ROLL] = judge(np.array([0.0, *after]))
    return q


MODEL = chance.tabular_chance(dice())
ROOT = START, np.eye(TOP + 1, dtype=np.float32)[START]
EXACT = by_hand(np.mean, GAMMA)


def flat(obs, size=1):
    """A flat prior, and outputs of zero."""
    return jnp.zeros((*obs.shape[:-1], 2)), jnp.zeros((*obs.shape[:-1], size))


def test_a_search_of_the_whole_tree_has_the_best_nested_risk():
    find = search.backup_search(20, mix=dp.nested(values.cvar(LEVEL)))
    found, q = jax.jit(lambda: find(MODEL, flat, ROOT, GAMMA))(), by_hand(lowest, GAMMA)
    np.testing.assert_allclose(found.theta[..., 0], q, atol=1e-5)
    np.testing.assert_allclose(found.value, q.max(-1), atol=1e-5)
    np.testing.assert_array_equal(found.action, q.argmax(-1))  # no margin is a tie here
    assert (q.argmax(-1) != EXACT.argmax(-1)).any()


def test_the_tree_holds_the_law_of_the_return_and_keeps_to_masks():
    """The lanes are every total, once with both actions and once without holding."""
    family = values.categorical(values.uniform_support(0.0, TOP, TOP + 1))
    uncertain = lambda obs: flat(obs, TOP + 1)
    find = search.backup_search(20, family)
    masks = np.ones((2 * TOP, 2), bool)
    masks[TOP:, HOLD] = False
    twice = jax.tree.map(lambda x: np.concatenate([x, x]), ROOT)
    found = jax.jit(lambda: find(MODEL, uncertain, twice, 1.0, masks))()
    q = by_hand(np.mean, 1.0)

    def law(total, action):
        if action == HOLD:
            return np.eye(TOP + 1)[total]
        after = [total + x for x in (2, 3)]
        rest = [np.eye(TOP + 1)[TOP] if t >= TOP else law(t, q[t].argmax()) for t in after]
        return (np.eye(TOP + 1)[0] + sum(rest)) / 3

    exact = np.array([[law(total, action) for action in (HOLD, ROLL)] for total in START])
    laws = family.decode(found.theta).probabilities
    np.testing.assert_allclose(laws[:TOP], exact, atol=1e-5)
    np.testing.assert_allclose(found.value, [*q.max(-1), *q[:, ROLL]], atol=1e-4)
    np.testing.assert_array_equal(found.action[TOP:], ROLL)


def test_nodes_of_chance_find_the_expectation():
    """With exact values of states, from where no action is nearly as good as the other."""
    totals = np.array([0, 1, 7])
    root = jax.tree.map(lambda x: x[totals], ROOT)
    known = np.append(EXACT.max(-1), 0.0).astype(np.float32)
    evaluator = lambda obs: (flat(obs)[0], obs @ known)
    find = search.chance_search(24, noise=0.0)
    found = jax.jit(lambda key: find(MODEL, evaluator, root, GAMMA, key))(KEY)
    np.testing.assert_array_equal(found.action, EXACT[totals].argmax(-1))
    # A mean over visits, some of which try what is worse.
    np.testing.assert_allclose(found.value, EXACT[totals].max(-1), atol=0.9)


def test_the_prior_of_sampled_actions_is_the_policy_in_the_mean_and_counts_repetitions():
    rng, policy, proposal = np.random.default_rng(0), np.array([0.6, 0.3, 0.1]), [0.2, 0.3, 0.5]
    drawn = rng.choice(3, (4, 2000), p=proposal)
    log = lambda p: np.log(np.asarray(p, np.float32))[drawn]
    propose = lambda obs, number, key: (drawn[..., None], log(policy), log(proposal))
    found = sampled.among(propose, np.zeros((4, 1)), 2000, KEY)
    weights = np.asarray(jax.nn.softmax(found.logits))
    for mine, actions in zip(weights, drawn):
        number, counts = np.unique(actions, return_counts=True)
        exact = counts * (policy / np.array(proposal))[number]
        share = np.array([mine[actions == a].sum() for a in number])
        np.testing.assert_allclose(share, exact / exact.sum(), atol=1e-5)
        assert (mine > 0).sum() == len(number)  # repetitions are merged
        assert np.abs(share - policy).sum() < 0.15  # the prior times counts is 0.6 away


def test_sampled_search_takes_the_best_candidate_of_a_linear_system():
    """With exact values the value of each candidate has a closed form."""
    curve = 1.0
    for _ in range(200):  # of V(x) = -curve x^2, for x' = 0.9 x + a and a cost of x^2 + a^2
        curve = 1 + 0.81 * GAMMA * curve / (1 + GAMMA * curve)

    def step(x, action, key):
        new = 0.9 * x + action
        none = jnp.zeros(len(x))
        return new, TimeStep(new, -(x**2 + action**2)[:, 0], none + 1.0, none > 0, new, {})

    spec = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Box(-jnp.ones(1), jnp.ones(1)))
    model = Model(lambda obs, key: obs, step, spec)
    x = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]

    def propose(obs, number, key):
        action = jax.random.uniform(key, (len(obs), number, 1), minval=-1.0)
        return action, jnp.zeros(action.shape[:2]), jnp.zeros(action.shape[:2])

    find = search.sampled_search(search.gumbel_search(16, noise=0.0), propose, 16)
    value = lambda obs: -curve * obs[..., 0] ** 2
    found = jax.tree.map(np.asarray, jax.jit(lambda k: find(model, value, (x, x), GAMMA, k))(KEY))
    q = -(x**2 + found.candidates[..., 0] ** 2)
    q = q - GAMMA * curve * (0.9 * x + found.candidates[..., 0]) ** 2
    mine = np.take_along_axis(found.candidates[..., 0], q.argmax(-1)[:, None], 1)
    np.testing.assert_allclose(found.action, mine, atol=1e-6)
    np.testing.assert_allclose(found.policy.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: search.chance_search(0), "simulations"),
        (lambda: search.chance_search(1, noise=2.0), "noise"),
        (lambda: search.backup_search(0), "simulations"),
        (lambda: search.backup_search(1, exploration=-1.0), "exploration"),
        (lambda: search.sampled_search(search.gumbel_search(1), lambda *_: _, 0), "number"),
    ],
)
def test_wrong_numbers(make, word):
    with pytest.raises(ValueError, match=f"{word} must"):
        make()
