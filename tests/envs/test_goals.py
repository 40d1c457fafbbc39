"""Environments with goals, against walks through their layouts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import goals
from jaxrl.environments import auto_reset, vectorize
from jaxrl.errors import InputError

ROOMS = goals.LAYOUTS["four-rooms"]


def test_paths_are_powers_of_steps():
    """A cell is at most n steps away if the n-th power of the graph with loops says so."""
    for layout in goals.LAYOUTS:
        graph, free = goals.transitions(layout), goals.cells(layout)
        lines = goals.LAYOUTS[layout]
        assert len(free) == "".join(lines).count(".")
        for i, (row, column) in enumerate(free):
            for a, (down, right) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
                there = row + down, column + right
                inside = 0 <= there[0] < len(lines) and 0 <= there[1] < len(lines[0])
                free_there = inside and lines[there[0]][there[1]] == "."
                wanted = there if free_there else (row, column)
                assert tuple(free[graph[i, a]]) == tuple(wanted)
        once = np.eye(len(free), dtype=bool)
        once[np.arange(len(free))[:, None], graph] = True
        power, steps = np.eye(len(free), dtype=bool), np.zeros((len(free),) * 2, int)
        while not power.all():
            steps += ~power
            power = power @ once
        np.testing.assert_array_equal(goals.distances(layout), steps)


def walked(env, steps, lanes=64):
    """Random steps [T, lanes] of an environment, in numpy: before, actions and after."""
    many = auto_reset(vectorize(env, lanes))
    space = env.spec.action

    def step(carry, key):
        state, now = carry
        k_act, k_step = jax.random.split(key)
        if hasattr(space, "num"):
            action = jax.random.randint(k_act, (lanes,), 0, space.num)
        else:
            action = jax.random.uniform(k_act, (lanes, 2), minval=-1.0)
        state, new = many.step(state, action, k_step)
        return (state, new), (now.obs, action, new)

    run = lambda key: jax.lax.scan(step, many.init(key), jax.random.split(key, steps))[1]
    return jax.tree.map(np.asarray, jax.jit(run)(jax.random.key(0)))


def require_rules(obs, new, there):
    """Goals pay, end, are told, and are held for an episode; none is there at its beginning."""
    np.testing.assert_array_equal(new.reward, np.where(there, 0.0, -1.0))
    np.testing.assert_array_equal(new.discount, np.where(there, 0.0, 1.0))
    np.testing.assert_array_equal(new.info["episode_success"], there)
    assert there.any() and (new.last >= there).all() and (new.last & ~there).any()
    np.testing.assert_array_equal(new.final.context, obs.context)
    held = (obs.context[1:] == obs.context[:-1]).all(-1)
    assert held[~new.last[:-1]].all() and held[new.last[:-1]].mean() < 0.3


def test_bits_are_flipped():
    obs, action, new = walked(envs.make("bit-flips", bits=3, max_steps_in_episode=4), 40)
    wanted = obs.obs ^ (np.arange(3) == action[..., None])
    np.testing.assert_array_equal(new.final.obs, wanted)
    require_rules(obs, new, (wanted == obs.context).all(-1))
    start = np.vstack([np.ones((1, 64), bool), new.last[:-1]])
    assert not (obs.obs == obs.context).all(-1)[start].any()


def test_walks_go_along_the_layout():
    obs, action, new = walked(envs.make("grid-maze", layout="u", max_steps_in_episode=9), 40)
    graph = goals.transitions("u")
    here, after = obs.obs.argmax(-1), new.final.obs.argmax(-1)
    assert (obs.obs.sum(-1) == 1).all() and (obs.context.sum(-1) == 1).all()
    np.testing.assert_array_equal(after, graph[here, action])
    require_rules(obs, new, after == obs.context.argmax(-1))
    start = np.vstack([np.ones((1, 64), bool), new.last[:-1]])
    assert (obs.obs != obs.context).any(-1)[start].all()
    starts, ends = (x.argmax(-1)[start] for x in (obs.obs, obs.context))
    assert {*starts} == {*ends} == {*range(len(graph))}


def test_points_stay_out_of_walls():
    env = envs.make("point-maze", layout=ROOMS, speed=0.9, max_steps_in_episode=40)
    obs, action, new = walked(env, 200)
    place = lambda x: (x + 1) * 5.5  # 11 cells wide
    now, after, goal = place(obs.obs), place(new.final.obs), place(obs.context)
    free = {tuple(x) for x in goals.cells(ROOMS)}
    cell = lambda x: np.floor(x).astype(int)
    for x in (after, goal):
        assert {tuple(c) for c in cell(x).reshape(-1, 2)} <= free
    moved, wanted = after - now, 0.9 * action
    stayed = np.abs(moved) < 1e-5
    assert (stayed | (np.abs(moved - wanted) < 1e-4)).all() and stayed.any()
    # What stayed would have entered a wall: first the row changes, then the column.
    down = now.copy()
    down[..., 0] += wanted[..., 0]
    for target, axis in ((down, 0), (None, 1)):
        if target is None:
            target = after.copy()
            target[..., 1] = now[..., 1] + wanted[..., 1]
        clear = (np.abs(target - np.round(target)) > 1e-3).all(-1)
        blocked = stayed[..., axis] & (np.abs(wanted[..., axis]) > 1e-3) & clear
        assert blocked.any()
        assert not ({tuple(c) for c in cell(target)[blocked]} & free)
    gap = np.linalg.norm(after - goal, axis=-1)
    there = new.reward == 0
    assert (gap[there] < 0.5 + 1e-4).all() and (gap[~there] > 0.5 - 1e-4).all()
    require_rules(obs, new, there)
    start = np.vstack([np.ones((1, 64), bool), new.last[:-1]])
    assert (cell(now) != cell(goal)).any(-1)[start].all()


def test_layouts_that_do_not_fit_are_refused():
    for layout, words in (
        ("spiral", "no layout called 'spiral'"),
        (("..", "."), "lines of equal lengths"),
        (("#.",), "at least two free cells"),
        ((".#.",), "reached from all others"),
    ):
        with pytest.raises(InputError, match=words):
            envs.make("grid-maze", layout=layout)
    with pytest.raises(InputError, match="at least one bit"):
        envs.make("bit-flips", bits=0)
    assert jnp.shape(envs.make("grid-maze", layout=["..", ".."]).spec.observation.obs) == (4,)
