"""Returns against brute force over episodes, with boundaries of both kinds in every position."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
import rlax

from jaxrl import returns
from jaxrl.values import dirac, lambda_distributions, mean

T, GAMMA, LAM = 5, 0.9, 0.7
PATTERNS = np.array(
    list(itertools.product((0, 1, 2), repeat=T))
).T  # 0 goes on, 1 dies, 2 truncated
N = PATTERNS.shape[1]
rng = np.random.default_rng(0)
REWARD, VALUE, NEXT = (rng.normal(size=(T, N)).astype(np.float32) for _ in range(3))
RATIO = rng.uniform(0.2, 2.0, size=(T, N)).astype(np.float32)
GREEDY = rng.random((T, N)) < 0.5
DISCOUNT = (GAMMA * (PATTERNS != 1)).astype(np.float32)
LAST = PATTERNS != 0
ARGS = tuple(map(jnp.asarray, (REWARD, DISCOUNT, LAST)))


def episodes(column):
    """The (start, end) of each stretch without an inner boundary; the end is inclusive."""
    start = 0
    for t in range(T):
        if PATTERNS[t, column] or t == T - 1:
            yield start, t
            start = t + 1


def n_step_by_definition(column, t, end, n):
    """Sum of discounted rewards over at most n steps to the end, and the value reached."""
    stop = min(t + n - 1, end)
    total = sum(GAMMA ** (k - t) * REWARD[k, column] for k in range(t, stop + 1))
    alive = PATTERNS[stop, column] != 1
    return total + alive * GAMMA ** (stop - t + 1) * NEXT[stop, column]


def each_step(fn):
    """An array [T, N] of fn(column, t, end of the episode of t)."""
    out = np.zeros((T, N))
    for column in range(N):
        for start, end in episodes(column):
            for t in range(start, end + 1):
                out[t, column] = fn(column, t, end)
    return out


def lambda_by_definition(column, t, end, lam):
    """The weighted sum of n-step returns: (1 - lam) lam^(n-1), and the rest on the longest."""
    longest = end - t + 1
    parts = [(1 - lam) * lam ** (n - 1) for n in range(1, longest)] + [lam ** (longest - 1)]
    return sum(w * n_step_by_definition(column, t, end, n + 1) for n, w in enumerate(parts))


def delta(column, t):
    """The one-step error of V."""
    return n_step_by_definition(column, t, t, 1) - VALUE[t, column]


def close(ours, theirs, **kw):
    np.testing.assert_allclose(np.asarray(ours), theirs, atol=2e-5, rtol=1e-4, **kw)


def jitted(function, *args, **options):
    """What one program of a function makes of its arguments, in numpy."""
    return jax.tree.map(np.asarray, jax.jit(partial(function, **options))(*args))


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_n_step(n):
    expected = each_step(lambda c, t, end: n_step_by_definition(c, t, end, n))
    close(jitted(returns.n_step_returns, *ARGS, NEXT, n=n), expected)
    if n in (2, 3):
        wrong = each_step(lambda c, t, end: n_step_by_definition(c, t, end, n + 1))
        assert np.abs(wrong - expected).max() > 0.1  # off by one would be seen


def test_lambda_returns():
    expected = each_step(lambda c, t, end: lambda_by_definition(c, t, end, LAM))
    close(jitted(returns.lambda_returns, *ARGS, NEXT, LAM), expected)


def test_gae_is_the_sum_of_discounted_errors():
    def advantage(c, t, end):
        return sum((GAMMA * LAM) ** (k - t) * delta(c, k) for k in range(t, end + 1))

    expected = each_step(advantage)
    gae = jax.jit(returns.gae)
    close(gae(*ARGS, VALUE, NEXT, LAM), expected)
    # Truncation as death, and traces that cross a boundary, would be seen.
    death = gae(REWARD, np.where(LAST, np.float32(0), DISCOUNT), LAST, VALUE, NEXT, LAM)
    leak = gae(REWARD, DISCOUNT, np.zeros_like(LAST), VALUE, NEXT, LAM)
    assert np.abs(death - expected).max() > 0.1
    assert np.abs(leak - expected).max() > 0.1


@pytest.mark.parametrize(("clip_ratio", "clip_trace"), [(1.0, 1.0), (1.6, 0.7)])
def test_vtrace(clip_ratio, clip_trace):
    rho, c = np.minimum(clip_ratio, RATIO), LAM * np.minimum(clip_trace, RATIO)

    def target(column, t, end):
        total = VALUE[t, column]
        for k in range(t, end + 1):
            trace = np.prod([GAMMA * c[i, column] for i in range(t, k)])
            total += trace * rho[k, column] * delta(column, k)
        return total

    expected = each_step(target)
    out = jitted(returns.vtrace, *ARGS, VALUE, NEXT, RATIO, LAM, clip_ratio, clip_trace)
    close(out.target, expected)

    def advantage(column, t, end):
        following = NEXT[t, column] if t == end else expected[t + 1, column]
        alive = PATTERNS[t, column] != 1
        backup = REWARD[t, column] + GAMMA * alive * following
        return rho[t, column] * (backup - VALUE[t, column])

    close(out.advantage, each_step(advantage))


def test_retrace():
    c = LAM * np.minimum(1.0, RATIO)

    def target(column, t, end):
        total = VALUE[t, column]
        for k in range(t, end + 1):
            trace = np.prod([GAMMA * c[i, column] for i in range(t + 1, k + 1)])
            total += trace * delta(column, k)
        return total

    close(jitted(returns.retrace, *ARGS, VALUE, NEXT, RATIO, LAM), each_step(target))


def test_off_policy_returns_with_importance_sampling_are_corrected_returns():
    # With c = pi / mu the target is the ordinary return, each later reward and value weighted by
    # the ratios of the actions in between, plus a control variate of mean zero.
    def target(column, t, end):
        total, weight = 0.0, 1.0
        for k in range(t, end + 1):
            alive = PATTERNS[k, column] != 1
            total += weight * (REWARD[k, column] + GAMMA * alive * NEXT[k, column])
            if k < end:
                weight *= GAMMA * RATIO[k + 1, column]
                total -= weight * VALUE[k + 1, column]
        return total

    close(jitted(returns.off_policy_returns, *ARGS, VALUE, NEXT, RATIO), each_step(target))


def test_q_lambda():
    values = np.stack([NEXT, NEXT - 1, NEXT - np.float32(0.1)], -1)
    peng = each_step(lambda c, t, end: lambda_by_definition(c, t, end, LAM))
    close(jitted(returns.peng_q_lambda, *ARGS, values, LAM), peng)

    def watkins(column, t, end):
        # The episode is cut before the first later action that is not greedy.
        cut = next((k - 1 for k in range(t + 1, end + 1) if not GREEDY[k, column]), end)
        return lambda_by_definition(column, t, cut, LAM)

    close(jitted(returns.watkins_q_lambda, *ARGS, values, GREEDY, LAM), each_step(watkins))


def test_against_rlax():
    alone = PATTERNS.max(0) < 2  # deaths only: rlax knows no truncation
    r, d, v, nv, rho = (x[:, alone] for x in (REWARD, DISCOUNT, VALUE, NEXT, RATIO))
    values = np.concatenate([v, nv[-1:]])  # a stream in which V(S_{t+1}) is the next V(S_t)
    nv = values[1:]
    each = lambda fn, *args: jax.vmap(fn, 1, 1)(*args)
    estimate = rlax.truncated_generalized_advantage_estimation
    trace = rlax.vtrace_td_error_and_advantage

    def theirs(r, d, v, nv, rho, values):
        stream = v, nv, r, d, rho
        return (
            each(lambda r, d, nv: rlax.lambda_returns(r, d, nv, LAM), r, d, nv),
            each(lambda r, d, nv: rlax.n_step_bootstrapped_returns(r, d, nv, 3), r, d, nv),
            each(lambda r, d, v: estimate(r, d, LAM, v), r, d, values),
            each(lambda v, nv, r, d, p: trace(v, nv, r, d, p, LAM), *stream).errors,
            # rlax mixes lam into the advantage; the paper, and this, do not.
            each(lambda v, nv, r, d, p: trace(v, nv, r, d, p), *stream).pg_advantage,
        )

    def ours(r, d, v, nv, rho, values):
        last = d == 0
        return (
            returns.lambda_returns(r, d, last, nv, LAM),
            returns.n_step_returns(r, d, last, nv, 3),
            returns.gae(r, d, last, v, nv, LAM),
            returns.vtrace(r, d, last, v, nv, rho, LAM).target - v,
            returns.vtrace(r, d, last, v, nv, rho).advantage,
        )

    both = lambda *args: (ours(*args), theirs(*args))
    for found, wanted in zip(*jitted(both, r, d, v, nv, rho, values), strict=True):
        close(found, wanted)


def test_action_values_against_rlax():
    alone = PATTERNS.max(0) < 2
    r, d = REWARD[:, alone], DISCOUNT[:, alone]
    last, more = d == 0, np.random.default_rng(1)
    q, logits = np.float32(more.normal(size=(2, T + 1, r.shape[1], 3)))
    a = more.integers(0, 3, (T + 1, r.shape[1]))
    mu = np.float32(more.uniform(0.2, 1, a.shape))
    for found, wanted in jitted(action_values, r, d, last, q, a, logits, mu):
        close(found, wanted)


def action_values(r, d, last, q, a, logits, mu):
    """Errors of ours and of theirs, pair by pair."""
    pi = jax.nn.softmax(logits)
    chosen = lambda x: jnp.take_along_axis(x, a[..., None], -1)[..., 0]
    each = lambda fn, *args: jax.vmap(fn, 1, 1)(*args)

    # The ratio of A_t; rlax wants those of the successors, of which the last is not used.
    ours = returns.retrace(
        r, d, last, chosen(q)[:-1], (pi * q).sum(-1)[1:], (chosen(pi) / mu)[:-1], LAM
    )
    theirs = each(
        lambda q, a, r, d, pi, mu: rlax.retrace(
            q[:-1], q[1:], a[:-1], a[1:], r, d, pi[1:], mu[1:], LAM
        ),
        *(q, a, r, d, pi, mu),
    )

    greedy = chosen(q) == q.max(-1)
    peng = each(lambda q, a, r, d: rlax.q_lambda(q[:-1], a[:-1], r, d, q[1:], LAM), *(q, a, r, d))
    our_peng = returns.peng_q_lambda(r, d, last, q[1:], LAM)
    kept = jnp.where(greedy, LAM, 0.0)
    watkins = each(
        lambda q, a, r, d, lam: rlax.q_lambda(q[:-1], a[:-1], r, d, q[1:], lam[1:]),
        *(q, a, r, d, kept),
    )
    mine = returns.watkins_q_lambda(r, d, last, q[1:], greedy[:-1], LAM)
    now = chosen(q)[:-1]
    return (ours - now, theirs), (our_peng - now, peng), (mine - now, watkins)


def test_nothing_crosses_a_boundary():
    def slopes(fn):
        return jitted(jax.jacobian(lambda r: fn(r).sum(-1)), REWARD)  # [T, T, N]

    inside = np.zeros((T, T, N), bool)
    for column in range(N):
        for start, end in episodes(column):
            for t in range(start, end + 1):
                inside[t, t : end + 1, column] = True
    rest, values = ARGS[1:], np.stack([NEXT, -NEXT], -1)
    for fn in (
        lambda r: returns.gae(r, *rest, VALUE, NEXT, LAM),
        lambda r: returns.lambda_returns(r, *rest, NEXT, LAM),
        lambda r: returns.n_step_returns(r, *rest, NEXT, T),
        lambda r: returns.vtrace(r, *rest, VALUE, NEXT, RATIO).target,
        lambda r: returns.vtrace(r, *rest, VALUE, NEXT, RATIO).advantage,
        lambda r: returns.retrace(r, *rest, VALUE, NEXT, RATIO, LAM),
        lambda r: returns.peng_q_lambda(r, *rest, values, LAM),
    ):
        np.testing.assert_array_equal(slopes(fn) != 0, inside)


def test_arrays_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="next_value must have the shape of reward"):
        returns.lambda_returns(*ARGS, NEXT[..., None], LAM)
    with pytest.raises(ValueError, match="value must have the shape of reward"):
        returns.gae(*ARGS, VALUE[:, :1], NEXT, LAM)
    with pytest.raises(ValueError, match="n must be above zero"):
        returns.n_step_returns(*ARGS, NEXT, 0)
    for shape in ((), (0, 3)):
        with pytest.raises(ValueError, match="T at least 1"):
            returns.lambda_returns(*(np.zeros(shape, np.float32) for _ in range(4)), LAM)


def test_one_step_and_no_future():
    """Of one step all returns are the one-step return; where discounts are 0, the reward."""
    one = [x[:1] for x in (REWARD, DISCOUNT, LAST, VALUE, NEXT, RATIO)]

    @jax.jit
    def run(reward, discount, last, value, following, ratio):
        out = returns.vtrace(reward, discount, last, value, following, jnp.ones_like(ratio))
        return (
            returns.lambda_returns(reward, discount, last, following, LAM),
            returns.n_step_returns(reward, discount, last, following, 4),
            returns.gae(reward, discount, last, value, following, LAM) + value,
            returns.retrace(reward, discount, last, value, following, ratio, LAM),
            out.target,
        )

    for dead in (False, True):
        wanted = REWARD[:1] + (not dead) * DISCOUNT[:1] * NEXT[:1]
        one[1] = DISCOUNT[:1] * np.float32(not dead)
        for found in run(*one):
            close(found, wanted)
    whole = REWARD, np.zeros_like(DISCOUNT), LAST
    close(jitted(returns.lambda_returns, *whole, NEXT, LAM), REWARD)


def test_types_may_be_mixed():
    """Single and double precision together, in a program of doubles."""
    exact = jitted(returns.lambda_returns, *ARGS, NEXT, LAM)

    @jax.jit
    def run(reward, discount, last, following, lam):
        laws = lambda_distributions(reward, discount, last, dirac(following), lam)
        return returns.lambda_returns(reward, discount, last, following, LAM), mean(laws)

    with jax.enable_x64(True):
        mixed, means = run(REWARD, np.asarray(DISCOUNT, float), LAST, NEXT, np.float64(LAM))
        assert mixed.dtype == np.float64
        close(mixed, exact)
        close(means, exact)


def test_gradients_agree_with_finite_differences():
    def total(reward, value, next_value):
        a = returns.gae(reward, ARGS[1], ARGS[2], value, next_value, LAM)
        b = returns.lambda_returns(reward, ARGS[1], ARGS[2], next_value, LAM)
        c = returns.vtrace(reward, ARGS[1], ARGS[2], value, next_value, RATIO, LAM)
        d = returns.n_step_returns(reward, ARGS[1], ARGS[2], next_value, 3)
        e = returns.retrace(reward, ARGS[1], ARGS[2], value, next_value, RATIO, LAM)
        return (a**2 + b**2 + c.advantage**2 + c.target**2 + d**2 + e**2).mean()

    args = REWARD, VALUE, NEXT
    total = jax.jit(total)
    jax.test_util.check_grads(total, args, order=1, modes=["rev"], atol=2e-2, rtol=2e-2)
