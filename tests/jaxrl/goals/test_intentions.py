"""Values of intents in a table, against numpy; and the goals that are drawn from a data set."""

from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import buffers
from jaxrl.goals.intentions import Intended, intended, intention_loss
from jaxrl.goals.stored import displaced, placed
from jaxrl.types import Transition

GAMMA, SIZE = 0.95, 4
STATES = SIZE * SIZE


def walled():
    """The successors [S, 4] of a grid with a wall beside its second column, open at the bottom."""
    to = np.zeros((STATES, 4), int)
    for row in range(SIZE):
        for column in range(SIZE):
            for i, (down, right) in enumerate([(-1, 0), (1, 0), (0, -1), (0, 1)]):
                y, x = (np.clip(v, 0, SIZE - 1) for v in (row + down, column + right))
                blocked = {column, x} == {1, 2} and row < SIZE - 1
                to[row * SIZE + column, i] = (
                    row * SIZE + (column if blocked else x) if right else (y * SIZE + column)
                )
    return to


def optimal(to):
    """Minus the discounted steps [S, Z] from each state to each other one."""
    v = np.full((STATES, STATES), -1 / (1 - GAMMA))
    for _ in range(60):
        v = np.where(np.eye(STATES) > 0, 0.0, -1 + GAMMA * v[to].max(1))
    return v


def settled(to, level):
    """The fixed point [S, G, Z] for uniform actions."""
    v, same = np.zeros((STATES, STATES, STATES)), np.eye(STATES)
    for _ in range(800):
        own = np.einsum("szz->sz", v)
        q = (1 - same)[:, None] * (GAMMA * own[to] - 1)  # [S, A, Z]
        w = np.abs(level - (q < own[:, None]))
        w = w / w.sum(1, keepdims=True)
        aim = (1 - same)[:, None, :, None] * (GAMMA * v[to] - 1)  # [S, A, G, Z]
        v = np.einsum("saz,sagz->sgz", w, aim)
    return v


def test_values_of_intents_tend_to_the_optimum():
    """The loss has no gradient at numpy's fixed point, which is optimal as the level tends to 1."""
    to = walled()
    s, a, g, z = (x.reshape(-1) for x in np.indices((STATES, 4, STATES, STATES)))
    steps = Intended(*map(jnp.asarray, (s, to[s, a], g, z, s == g, s == z)))
    table = lambda params, obs, outcome, intent: params[obs, outcome, intent][:, None]

    @jax.jit
    def slope(params, level):
        loss = lambda own: intention_loss(table, own, params, steps, GAMMA, level).sum()
        return jax.grad(loss)(params)

    errors, best = [], optimal(to)
    for level in (0.5, 0.9, 0.99, 0.999):
        v = settled(to, level)
        found = np.asarray(slope(jnp.asarray(v), level))
        np.testing.assert_allclose(found, 0, atol=2e-3, err_msg=str(level))
        errors.append(np.abs(np.einsum("szz->sz", v) - best).mean())
    wrong = jnp.asarray(v) + 0.1 * jnp.arange(STATES)[:, None, None]
    assert np.abs(np.asarray(slope(wrong, 0.9))).max() > 0.05
    assert errors == sorted(errors, reverse=True) and errors[0] > 1 and errors[-1] < 0.05, errors


def test_goals_are_of_the_same_episode_of_any_or_of_the_step_itself():
    """Of two lanes with episodes of several lengths, by many draws for one step."""
    steps, lanes = 12, 2
    number = jnp.arange(steps * lanes, dtype=jnp.float32).reshape(steps, lanes)
    last = jnp.zeros((steps, lanes), bool).at[jnp.array([3, 8]), jnp.array([1, 1])].set(True)
    one = jnp.ones((steps, lanes))
    data = Transition(number[..., None], one, one, one, last, number[..., None], (), one)
    made = placed(data)
    np.testing.assert_array_equal(made.extras[0], number)
    ends = [[22, 7]] * 4 + [[22, 17]] * 5 + [[22, 23]] * 3
    np.testing.assert_array_equal(made.extras[1], ends)
    stored = buffers.init(made, steps + 2)  # with room for later ones, which are never drawn
    for row, lane, later in ((4, 1, [11, 13, 15, 17]), (0, 0, range(2, 23, 2)), (3, 1, [7])):
        one = jax.tree.map(itemgetter((row, lane)), made)
        batch = jax.tree.map(lambda x: jnp.repeat(x[None], 20_000, 0), one)
        found = intended(batch, stored, jax.random.key(0))
        own = row * lanes + lane
        for goal, there in ((found.outcome, found.reached), (found.intent, found.satisfied)):
            goal = np.asarray(goal)[:, 0]
            np.testing.assert_array_equal(goal == own, there)
            share = np.bincount(goal.astype(int), minlength=steps * lanes) / len(goal)
            wanted = np.full(steps * lanes, 0.3 / (steps * lanes))
            wanted[list(later)] += 0.5 / len(later)
            wanted[own] += 0.2
            np.testing.assert_allclose(share, wanted, atol=0.02)
        same = np.asarray(found.outcome == found.intent).mean()
        assert 0.5 < same < 0.85
    assert not displaced(data).weight.any() and (displaced(data).extras[0] == -1).all()
