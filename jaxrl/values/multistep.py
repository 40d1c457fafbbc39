"""Return distributions along trajectories, time first: the mixtures of multi-step learning.

In every function `reward`, `discount` and `last` are [T, ...] as in `jaxrl.returns`, and
distributions are [T, ..., N]. A boundary cuts traces, a truncation bootstraps from its successor,
and the end of the array counts as a truncation. `push` defines the return: a sum with
`distributions.push`, the least reward with `push_worst`. `compress` reduces a distribution [..., *]
to a number of atoms that does not depend on *, such as `on_support(support)` or `project` then
`decode`; without it, each step keeps as many atoms as the whole trajectory has. All raise an
InputError if an array per step has another shape than the rewards.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_fraction, require_positive
from jaxrl.returns import check
from jaxrl.types import Array
from jaxrl.values.distributions import Push, ReturnDistribution, SignedMeasure, push

Compress = Callable[[ReturnDistribution], ReturnDistribution]


def join(first: ReturnDistribution, second: ReturnDistribution, trace: Array) -> ReturnDistribution:
    """The sum [..., N + M] of a measure [..., N] and `trace` [...] times another [..., M]."""
    second = second._replace(probabilities=trace[..., None] * second.probabilities)
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y], -1), first, second)


def whole(reward: Array, distribution: ReturnDistribution) -> ReturnDistribution:
    """The same distribution, one for each reward, with atoms of the shape of its probabilities."""
    shape = distribution.probabilities.shape
    require(
        shape[:-1] == jnp.shape(reward),
        f"A distribution must be [*reward, N]: it has {shape}, but reward has {jnp.shape(reward)}.",
    )
    return distribution._replace(atoms=jnp.broadcast_to(distribution.atoms, shape))


def n_step_distributions(
    reward: Array,
    discount: Array,
    last: Array,
    following: ReturnDistribution,
    n: int,
    push: Push = push,
) -> ReturnDistribution:
    """The distributions [T, ..., N] of n-step returns, shorter where a boundary comes first.

    `following` [T, ..., N] is that of the true successor of each step. Their means are
    `jaxrl.returns.n_step_returns`. Raises an InputError if `n` is not positive.

    Examples:
        >>> print(values.mean(values.n_step_distributions(*steps, pair, n=2)))
        [2.5 3. ]
    """
    require_positive(n=n)
    check(reward, discount=discount, last=last)
    end = last.at[-1].set(True)[..., None]
    horizon = push(whole(reward, following), reward, discount)  # the return over one step

    def longer(returns: ReturnDistribution, _: None) -> tuple[ReturnDistribution, None]:
        later = jax.tree.map(lambda x: jnp.concatenate([x[1:], x[-1:]]), returns)
        pushed = push(later, reward, discount)
        return jax.tree.map(lambda x, y: jnp.where(end, x, y), horizon, pushed), None

    return jax.lax.scan(longer, horizon, None, n - 1)[0]


def backwards(
    reward: Array,
    discount: Array,
    start: ReturnDistribution,
    trace: Array,
    push: Push,
    compress: Compress | None,
) -> ReturnDistribution:
    """The solution of G_t = push(start_t + trace_t G_{t+1}), for start_t of weight 1 - trace_t."""
    length, atoms, kind = start.atoms.shape[0], start.atoms.shape[-1], type(start)
    dtype = jnp.result_type(start.atoms, reward, discount)
    weights = jnp.result_type(start.probabilities, trace)
    start = kind(start.atoms.astype(dtype), start.probabilities.astype(weights))

    def insert(t: Array, start: ReturnDistribution, later: ReturnDistribution, trace: Array):
        later = later._replace(probabilities=trace[..., None] * later.probabilities)
        write = lambda x, y: jax.lax.dynamic_update_slice_in_dim(x, y, t * atoms, x.ndim - 1)
        return jax.tree.map(write, later, start)

    def step(
        later: ReturnDistribution, now: tuple
    ) -> tuple[ReturnDistribution, ReturnDistribution]:
        t, reward, discount, start, trace = now
        if compress is None:
            later = push(insert(t, start, later, trace), reward, discount)
        else:
            later = kind(*compress(push(join(start, later, trace), reward, discount)))
        return later, later

    # What comes after the end has a trace of 0: any measure of the right shape will do.
    final = jax.tree.map(lambda x: x[-1], start)
    if compress is None:
        initial = jax.tree.map(lambda x: jnp.zeros((*x.shape[:-1], length * atoms), x.dtype), final)
    else:
        initial = kind(*jax.tree.map(jnp.zeros_like, compress(final)))
    inputs = (jnp.arange(length), reward, discount, start, trace)
    return jax.lax.scan(step, initial, inputs, reverse=True)[1]


def lambda_distributions(
    reward: Array,
    discount: Array,
    last: Array,
    following: ReturnDistribution,
    lam: float | Array,
    push: Push = push,
    compress: Compress | None = None,
) -> ReturnDistribution:
    """Mixtures [T, ..., T * N] of n-step returns with weights (1 - lam) lam^(n - 1).

    `following` [T, ..., N] is that of the true successor of each step, and `lam` is in [0, 1]. They
    solve G_t = push((1 - lam) following_t + lam G_{t+1}), with `following_t` alone at a boundary
    and at the end, and their means are `jaxrl.returns.lambda_returns`.

    Examples:
        >>> print(values.mean(values.lambda_distributions(*steps, pair, lam=0.5)))
        [2. 3.]
    """
    check(reward, discount=discount, last=last)
    require_fraction(lam=lam)
    trace = jnp.where(last, 0.0, lam * jnp.ones_like(reward)).at[-1].set(0.0)
    start = whole(reward, following)
    start = start._replace(probabilities=(1 - trace)[..., None] * start.probabilities)
    return backwards(reward, discount, start, trace, push, compress)


def off_policy_distributions(
    reward: Array,
    discount: Array,
    last: Array,
    taken: ReturnDistribution,
    following: ReturnDistribution,
    trace: Array,
    push: Push = push,
    compress: Compress | None = None,
) -> ReturnDistribution:
    """Off-policy targets [T, ..., T * (N + M)] for the actions taken, for any traces c [T, ...].

    `taken` [T, ..., N] is the distribution of (S_t, A_t) and `following` [T, ..., M] that of
    S_{t+1} under the policy to evaluate. They solve G_t = push(following_t + c_{t+1} (G_{t+1} -
    taken_{t+1})), without the bracket at a boundary and at the end. They are a `SignedMeasure`
    whose means are `jaxrl.returns.off_policy_returns`. Losses are linear in probabilities and
    regress on it; `compress` must be linear too, as `on_support` is and quantiles are not. Source:
    Tang et al. (2022).

    Examples:
        >>> trace = jnp.array([0.5, 0.5])
        >>> print(values.mean(values.off_policy_distributions(*steps, pair, pair, trace)))
        [1.75 3.  ]
    """
    check(reward, discount=discount, last=last, trace=trace)
    after = lambda x: jnp.concatenate([x[1:], x[-1:]])
    trace = jnp.where(last, 0.0, after(trace)).at[-1].set(0.0)
    corrected = jax.tree.map(after, whole(reward, taken))
    start = join(whole(reward, following), corrected, -trace)
    return backwards(reward, discount, SignedMeasure(*start), trace, push, compress)


def retrace_distributions(
    reward: Array,
    discount: Array,
    last: Array,
    taken: ReturnDistribution,
    following: ReturnDistribution,
    ratio: Array,
    lam: float | Array,
    push: Push = push,
    compress: Compress | None = None,
) -> ReturnDistribution:
    """Distributional Retrace(lambda), for importance ratios pi / mu [T, ...] of A_t.

    These are `off_policy_distributions` with the traces lam min(1, ratio). Source: Tang et al.
    (2022), with the traces of Munos et al. (2016), table 1.

    Examples:
        >>> ratio = jnp.array([1.0, 2.0])
        >>> print(values.mean(values.retrace_distributions(*steps, pair, pair, ratio, lam=0.5)))
        [1.75 3.  ]
    """
    trace = lam * jnp.minimum(1.0, ratio)
    return off_policy_distributions(reward, discount, last, taken, following, trace, push, compress)
