"""Episodes, the best of them, and parts of them, against loops in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.data import chunked, chunks_at, compacted, cut, episode_index, episodes, subsampled
from jaxrl.errors import InputError
from jaxrl.returns import lambda_returns
from tests.jaxrl.data.made import LANES, STEPS, made, walked

DATA = made()
EPISODES = walked(DATA)
RETURNS = [sum(float(DATA.reward[s]) for s in e) for e in EPISODES]


@pytest.fixture(scope="module")
def found():
    """Everything that is compiled, in one program."""

    def all_of(data, key, share):
        return {
            "index": episode_index(data.last),
            "episodes": episodes(data, 0.9),
            "best": subsampled(data, share),
            "some": jax.vmap(lambda k: subsampled(data, share, k).weight)(
                jax.random.split(key, 64)
            ),
            "cut": cut(data, 4),
            "again": episodes(subsampled(data, share)),
            "chunked": chunked(data, 4, 60),
        }

    return jax.device_get(jax.jit(all_of)(DATA, jax.random.key(0), 0.3))


def test_returns_lengths_and_ends_are_those_of_a_loop(found):
    e, number = found["episodes"], len(EPISODES)
    discounted = [sum(0.9**i * float(DATA.reward[s]) for i, s in enumerate(x)) for x in EPISODES]
    np.testing.assert_allclose(e.returns[:number], discounted, atol=1e-5)
    np.testing.assert_array_equal(e.lengths[:number], [len(x) for x in EPISODES])
    ends = [x[-1] for x in EPISODES]
    terminated = [bool(DATA.last[s] and DATA.discount[s] == 0) for s in ends]
    truncated = [bool(DATA.last[s] and DATA.discount[s] == 1) for s in ends]
    np.testing.assert_array_equal(e.terminated[:number], terminated)
    np.testing.assert_array_equal(e.truncated[:number], truncated)
    np.testing.assert_array_equal(e.unfinished[:number], [not DATA.last[s] for s in ends])
    # The last two lanes are cut off by the end of the data, which is no truncation.
    assert e.unfinished.sum() == 2 and any(terminated) and any(truncated)
    assert not any(x[number:].any() for x in e)
    index = {s: i for i, x in enumerate(EPISODES) for s in x}
    for s, i in index.items():
        assert found["index"][s] == i


def test_the_best_episodes_are_kept_whole(found):
    number = round(0.3 * len(EPISODES))
    best = set(np.argsort(RETURNS)[::-1][:number])
    for i, e in enumerate(EPISODES):
        assert {float(found["best"].weight[s]) for s in e} == {float(i in best)}
    assert set(np.flatnonzero(found["again"].lengths)) == best
    assert (found["again"].returns[~(found["again"].lengths > 0)] == 0).all()
    # With a key as many are kept, each of them equally often, and each whole.
    kept = np.array([[w[e[0]] for e in EPISODES] for w in found["some"]])
    for w in found["some"]:
        assert all(len({float(w[s]) for s in e}) == 1 for e in EPISODES)
    assert (kept.sum(1) == number).all()
    rate = number / len(EPISODES)
    error = np.sqrt(rate * (1 - rate) / len(kept))
    assert np.abs(kept.mean(0) - rate).max() < 5 * error


def test_what_is_left_out_leaves_a_boundary_and_no_step(found):
    part = compacted(found["best"], lanes=1)
    wanted = [s for e in EPISODES for s in e if found["best"].weight[s]]
    np.testing.assert_array_equal(part.reward[:, 0], [DATA.reward[s] for s in wanted])
    np.testing.assert_array_equal(part.obs["a"][:, 0], [DATA.obs["a"][s] for s in wanted])
    ends = {e[-1] for e in EPISODES}  # those that the data end too
    np.testing.assert_array_equal(part.last[:, 0], [s in ends for s in wanted])
    np.testing.assert_array_equal(part.discount[:, 0], [DATA.discount[s] for s in wanted])
    gap = DATA._replace(weight=np.ones((STEPS, LANES), np.float32), last=DATA.last & False)
    gap.weight[5, 1] = 0
    assert compacted(gap, lanes=1).last[STEPS + 4, 0] and compacted(gap).reward.shape == (40, 3)
    with pytest.raises(InputError, match="the weight 0, which no compiled function can"):
        jax.jit(compacted)(DATA)


def test_episodes_are_cut_into_parts_that_are_truncated(found):
    new, place = found["cut"], {s: i for e in EPISODES for i, s in enumerate(e)}
    for s, i in place.items():
        assert new.last[s] == (DATA.last[s] or i % 4 == 3)
    for name in ("discount", "reward", "weight"):
        np.testing.assert_array_equal(getattr(new, name), getattr(DATA, name))
    np.testing.assert_array_equal(new.final["a"], DATA.final["a"])


def test_chunks_hold_each_step_once_and_never_two_episodes(found):
    parts = [e[i : i + 4] for e in EPISODES for i in range(0, len(e), 4)]
    chunks, eager = found["chunked"], chunked(DATA, 4)
    assert eager.reward.shape == (4, len(parts)) and chunks.reward.shape == (4, 60)
    # Those that are compiled are in the order of time, as those that are not.
    for x, y in zip(jax.tree.leaves(chunks), jax.tree.leaves(eager), strict=True):
        np.testing.assert_array_equal(x[:, : len(parts)], y)
    assert not chunks.weight[:, len(parts) :].any()
    ends = {e[-1] for e in EPISODES}
    for column, part in enumerate(sorted(parts)):
        padded = part + [part[-1]] * (4 - len(part))
        real = np.arange(4) < len(part)
        np.testing.assert_array_equal(eager.weight[:, column], real)
        reward = [float(DATA.reward[s]) * r for s, r in zip(padded, real)]
        np.testing.assert_array_equal(eager.reward[:, column], np.float32(reward))
        obs = [DATA.obs["b"][s] for s in padded]
        np.testing.assert_array_equal(eager.obs["b"][:, column], obs)
        np.testing.assert_array_equal(eager.last[:, column], [s in ends for s in padded])
        discount = [DATA.discount[s] for s in padded]
        np.testing.assert_array_equal(eager.discount[:, column], discount)


def test_a_padded_chunk_has_the_returns_of_its_episode():
    """The return after a truncation is bootstrapped, that after a termination is not."""
    chunks = chunks_at(DATA, jnp.array([e[-2][0] * LANES + e[-2][1] for e in EPISODES if e[1:]]), 5)
    value = jnp.full(chunks.reward.shape, 10.0)
    got = lambda_returns(chunks.reward, 0.9 * chunks.discount, chunks.last, value, 1.0)[0]
    wanted = [
        DATA.reward[e[-2]] + 0.9 * (DATA.reward[e[-1]] + 0.9 * 10 * DATA.discount[e[-1]])
        for e in EPISODES
        if e[1:]
    ]
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: subsampled(DATA, 1.5), "share must lie between 0 and 1, but it is 1.5"),
        (lambda: cut(DATA, 0), "length must be above zero"),
        (lambda: chunks_at(DATA, jnp.array([0]), 0), "length must be above zero"),
        (lambda: chunked(DATA, 4, 3), "has .* chunks of length 4, and number is 3"),
        (lambda: jax.jit(lambda d: chunked(d, 4))(DATA), "needs the number of chunks"),
        (lambda: episodes(jax.tree.map(lambda x: x[:, 0], DATA)), r"rewards \[T, B\] of at least"),
        (lambda: compacted(DATA, lanes=999), "too few for 999 lanes"),
        (lambda: compacted(DATA._replace(weight=0 * DATA.weight)), "0 transitions, .* too few"),
    ],
)
def test_what_does_not_fit_is_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
